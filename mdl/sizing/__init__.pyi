from .answer import Answer as Answer
from .answer import sentences as sentences
from .api import size as size
from .question import Question as Question
from .question import find_size as find_size
from .question import look_at as look_at
from .question import name_of as name_of
from .question import parse_seconds as parse_seconds
