from .answer import Answer as Answer
from .answer import sentences as sentences
from .api import size as size
from .question import Question as Question
from .question import answer as answer
from .question import name_of as name_of
from .question import parse_seconds as parse_seconds
from .question import plan_size as plan_size
