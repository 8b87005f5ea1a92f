"""Pages that need no script: log-in, log-out, and refusals."""

from typing import Final

from jinja2 import Environment

from glioscope import RESEARCH_USE, __version__

from ._words import Words

_PAGE: Final = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · glioscope</title>
<link rel="stylesheet" href="/static/login.css?{{ version }}">
<link rel="icon" href="/favicon.ico">
</head>
<body>
<main>
<p class="name">glioscope</p>
<h1>{{ title }}</h1>
{% if sentence %}<p class="sentence" role="alert"><span aria-hidden="true">⚠ </span>{{ sentence }}</p>{% endif %}
{% if action %}
<form method="post" action="{{ action }}" autocomplete="off">
{% for name, value in hidden.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}
{% for name, label, kind in fields %}
<label for="{{ name }}">{{ label }}</label>
<input id="{{ name }}" name="{{ name }}" type="{{ kind }}" required maxlength="256" autocapitalize="none"
 autocomplete="{{ 'current-password' if kind == 'password' else 'username' }}" spellcheck="false"
 {%- if loop.first %} autofocus{% endif %}>
{% endfor %}
<button type="submit">{{ submit }}</button>
</form>
{% endif %}
{% if link %}<p><a class="link" href="{{ link[0] }}">{{ link[1] }}</a></p>{% endif %}
<p class="notice">{{ notice }}</p>
</main>
</body>
</html>
""")


def form_page(
    words: Words,
    *,
    title: str,
    sentence: str = "",
    action: str = "",
    submit: str = "",
    fields: tuple[tuple[str, str, str], ...] = (),
    hidden: dict[str, str] | None = None,
    link: tuple[str, str] | None = None,
) -> str:
    """Return the HTML of a page with a heading and, as given, a sentence, a form and a link.

    Parameters
    ----------
    sentence : what is wrong, or what to know.
    action : path to which the form is posted; empty: no form.
    fields : name, label and input type of each field.
    link : path and text.
    """
    return _PAGE.render(
        title=title,
        sentence=sentence,
        action=action,
        submit=submit,
        fields=fields,
        hidden=hidden or {},
        link=link,
        notice=f"{RESEARCH_USE} {words['login.notice']}",
        version=__version__,
    )
