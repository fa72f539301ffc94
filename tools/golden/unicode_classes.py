"""Writes models/unicode_ranges.inc: the code points of Unicode's general categories L* and N* as ranges.

  python3 tools/golden/unicode_classes.py > models/unicode_ranges.inc

Made with Python 3.11.2, unicodedata 14.0.0. (Code points assigned later count as neither letter nor number.)
"""
import sys
import unicodedata


def ranges(letter):
    out, begin = [], None
    for point in range(0x110000 + 1):
        inside = point < 0x110000 and unicodedata.category(chr(point)).startswith(letter)
        if inside and begin is None:
            begin = point
        if not inside and begin is not None:
            out.append((begin, point - 1))
            begin = None
    return out


print(f"// Written by tools/golden/unicode_classes.py, Unicode {unicodedata.unidata_version}.")
for name, letter in (("kLetters", "L"), ("kNumbers", "N")):
    print(f"constexpr Range {name}[] = {{")
    line = "   "
    for begin, end in ranges(letter):
        item = f" {{0x{begin:x}, 0x{end:x}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")
