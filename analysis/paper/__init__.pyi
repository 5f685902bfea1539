from .table1 import PAPER_CODERS as PAPER_CODERS
from .table1 import PAPER_DATA_SETS as PAPER_DATA_SETS
from .table1 import TABLE_1 as TABLE_1
from .table1 import DataSet as DataSet
from .table1 import PaperRow as PaperRow
from .table1 import paper_row as paper_row
