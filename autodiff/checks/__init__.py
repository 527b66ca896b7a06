"""Is a gradient right? Against numbers (`numeric`), and against one derived by hand (`compare`).

What all of it leans on is `noise`: how far rounding alone may move this gradient, at this point, in this dtype.
There is no constant tolerance anywhere.
"""
