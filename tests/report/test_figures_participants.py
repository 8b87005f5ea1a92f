import pytest
from tests.report.layout import collisions, words

from glioscope.core import InputError
from glioscope.report._figures_participants import IndexResult, ParticipantFlow, Size, participant_flow


def result(name, tumour, non_tumour, missing):
    reference = (("tumour", Size(7, tumour)), ("non-tumour", Size(6, non_tumour)), ("missing", Size(1, missing)))
    return IndexResult(name, Size(7, tumour + non_tumour + missing), reference)


STUDY = ParticipantFlow(
    eligible=31,
    excluded=(("no consent", 3), ("recurrent glioma after radiotherapy of the whole brain and other treatment", 5)),
    enrolled=Size(23, 1874),
    not_evaluated=(("trained on", Size(13, 1019)), ("tuned on", Size(3, 247))),
    evaluated=Size(7, 608),
    results=(
        result("Index test: tumour", 375, 37, 0),
        result("Index test: non-tumour", 20, 158, 2),
        result("Index test: indeterminate", 5, 9, 0),
        result("Index test: not assessable", 0, 2, 0),
    ),
)
UNKNOWN = ParticipantFlow(enrolled=Size(2, None), evaluated=Size(), results=(IndexResult("Answered", Size(), ()),))


def test_the_diagram_tells_every_number_in_picture_and_words():
    figure = participant_flow(STUDY, "c")
    shown = "\n".join(words(figure.plot)).replace("\N{NO-BREAK SPACE}", " ")
    for text in ("31 patients", "Excluded: 8 patients", "no consent: 3 patients", "1874 specimens, 23 patients"):
        assert text in shown
        assert text in figure.alt
    assert "non-tumour: 158 specimens, 6 patients" in figure.alt
    assert figure.caption == "c"
    assert figure.option is None


def test_unknown_numbers_are_said_not_to_be_reported():
    figure = participant_flow(UNKNOWN, "")
    assert (
        "Approached, not reported. Excluded, not reported. Enrolled, specimens not reported, 2 patients" in figure.alt
    )
    assert words(figure.plot).count("not reported") == 5
    assert "None" not in figure.alt


def test_a_reason_without_a_number_leaves_the_total_unknown():
    flow = ParticipantFlow(
        enrolled=Size(), evaluated=Size(), results=UNKNOWN.results, excluded=(("no consent", 3), ("other", None))
    )
    assert "Excluded: total not reported, no consent: 3 patients, other: patients not reported" in (
        participant_flow(flow, "").alt
    )


def test_numbers_that_do_not_agree_are_named_in_the_caption():
    flow = ParticipantFlow(
        eligible=30,
        excluded=(("no consent", 3),),
        enrolled=Size(23, 10),
        evaluated=Size(23, 10),
        results=(IndexResult("Answered", Size(23, 10), ()),),
    )
    assert "approached less excluded is 27, enrolled are 23" in participant_flow(flow, "").caption


@pytest.mark.parametrize(
    "flow",
    [STUDY, UNKNOWN, *(ParticipantFlow(Size(23, 1874), Size(), STUDY.results[:count]) for count in (1, 2, 3))],
)
def test_texts_of_the_diagram_do_not_collide(flow):
    assert collisions(participant_flow(flow, "").plot) == []


def test_texts_of_the_diagram_stay_in_their_boxes():
    axes = participant_flow(STUDY, "").plot.axes[0]
    axes.figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in axes.patches]
    for text in (text for text in axes.texts if text.get_text()):
        corners = text.get_window_extent().corners()
        assert any(all(box.contains(*corner) for corner in corners) for box in boxes), text.get_text()


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (ParticipantFlow(Size(), Size(), ()), "0 results"),
        (ParticipantFlow(Size(), Size(), STUDY.results + STUDY.results[:1]), "5 results"),
        (ParticipantFlow(Size(-1), Size(), STUDY.results), "is -1"),
        (ParticipantFlow(Size(), Size(7, 600), STUDY.results), "608 specimens; together they must be 600"),
        (
            ParticipantFlow(Size(), Size(), (IndexResult("Answered", Size(1, 5), (("tumour", Size(1, 4)),)),)),
            "'Answered' have 4 specimens; together they must be 5",
        ),
    ],
)
def test_numbers_that_cannot_be_are_refused(flow, message):
    with pytest.raises(InputError, match=message):
        participant_flow(flow, "")
