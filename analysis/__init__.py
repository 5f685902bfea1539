"""From records of measurements to critical model sizes, figures and a report.

Reads the JSON that a sweep leaves on disk, or anyone's CSV; needs neither `mdl` nor torch. `records` loads, `costs`
prices parameters, `critical`, `scaling` and `codes` compute, `study` joins them, `plots` draws, `report` words and
typesets.
"""
