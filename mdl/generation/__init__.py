"""Any compressor or model goes on from a prompt."""
