from .compute_optimal import compute_view as compute_view
from .compute_optimal import not_asked as not_asked
from .fit_report import fit_report_of as fit_report_of
from .fit_report import fit_to_json as fit_to_json
from .fit_report import fit_to_text as fit_to_text
from .fit_report import parse_delta as parse_delta
from .fit_report import read_measurements as read_measurements
from .from_records import own_fit as own_fit
