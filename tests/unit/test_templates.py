"""What is worked out when a template is compiled, and what is left to each page."""

import pytest
from markupsafe import Markup

from counterfoil.pages import render
from counterfoil.pages.language import translations


def said(template: str, language: str = "en", **values: object) -> str:
    return render.environment(language).from_string(template).render(**values)


@pytest.mark.parametrize("language", ["en", "zh-Hant-TW"])
def test_a_sentence_in_a_template_is_the_one_of_its_language(language: str) -> None:
    catalogue = translations(language)
    assert said('<b title="{{ _("Invoices") }}">', language) == (
        f'<b title="{catalogue.gettext("Invoices")}">'
    )
    assert said("{{ _(word) }}", language, word="Invoices") == catalogue.gettext("Invoices")


def test_values_in_a_sentence_are_of_each_page_and_escaped() -> None:
    template = '{{ _("Pick %(number)s", number=number) }}'
    assert said(template, number="1") == "Pick 1"
    assert said(template, number="<i>") == "Pick &lt;i&gt;"


def test_a_sentence_is_markup_whether_it_was_foreseen_or_not() -> None:
    sentence = "Up to 5%% & more"
    for template in ('{{ _("' + sentence + '") }}', "{{ _(sentence) }}"):
        assert said(template, sentence=sentence) == "Up to 5% & more"
    assert said('{{ "<%s>" | format(_("Save")) }}') == "&lt;Save&gt;"


def test_a_name_that_a_template_gives_another_meaning_keeps_that_meaning() -> None:
    assert said("{% macro icon(name) %}[{{ name }}]{% endmacro %}{{ icon('plus') }}") == "[plus]"
    assert said("{% set _ = shout %}{{ _('Save') }}", shout=str.upper) == "SAVE"
    assert said("{% for _ in shouts %}{{ _('Save') }}{% endfor %}", shouts=[str.upper]) == "SAVE"


def test_what_cannot_be_foreseen_fails_where_it_is_shown() -> None:
    assert said('{% if no %}{{ _("of %(count)s") }}{{ asset("none.css") }}{% endif %}', no=0) == ""
    with pytest.raises(FileNotFoundError):
        said('{{ asset("none.css") }}')
    with pytest.raises(KeyError):
        said('{{ _("of %(count)s") }}')


def test_an_icon_that_is_chosen_by_a_page_is_drawn_for_it() -> None:
    drawn = said("{{ icon('plus' if more else 'minus', 'small') }}", more=True)
    assert drawn == str(render.icon("plus", "small"))
    assert isinstance(render.icon("plus"), Markup)
