from .build import build_report as build_report
from .elements import Grid as Grid
from .elements import Heading as Heading
from .elements import Text as Text
from .section import SECTIONS as SECTIONS
from .section import Section as Section
from .section import register_section as register_section
from .terminal import terminal_table as terminal_table
