from .build import build_report as build_report
from .terminal import terminal_table as terminal_table
