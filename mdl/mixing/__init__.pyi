from .chances import chances_of as chances_of
from .context_mixer import MAX_BUCKET_BITS as MAX_BUCKET_BITS
from .context_mixer import MIN_BUCKET_BITS as MIN_BUCKET_BITS
from .context_mixer import ContextMixer as ContextMixer
from .context_mixer import Read as Read
from .context_mixer import bucket_bits as bucket_bits
from .context_mixer import require_compiler as require_compiler
from .memory import memory_bytes as memory_bytes
