from . import block_codec as block_codec
from .block_codec import Lane as Lane
from .block_codec import time_major as time_major
from .format import Archive as Archive
from .format import ArchiveWriter as ArchiveWriter
from .format import Block as Block
from .format import Header as Header
from .format import windows_per_block as windows_per_block
