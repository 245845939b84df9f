"""How each part of a reproduction is shown.

A module has `TITLE`, `figures(found) -> {name: PNG}` and `findings(found) -> sentences`, where `found` is what
`tables.json` holds of the part; its tables are in the template `reproduction_NAME.html.j2`, which sees `found`, and its
figures as `images["NAME-FIGURE"]`.
"""
