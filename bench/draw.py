# SPDX-License-Identifier: BSD-2-Clause
"""draw: bar charts of ratios, as SVG."""


def draw_all(rows, stem):
    return []
