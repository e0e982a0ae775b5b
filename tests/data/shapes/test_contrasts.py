from data.shapes.contrasts import minimal_pairs


def record(caption, question, target, truth, *, vid="1", clip=(0, 99)):
    def asked(text):
        return [{"description": text, "type": "shape", "target_id": target}] if text else []

    return {
        "vid": vid,
        "used_segment": {"begin_fid": clip[0], "end_fid": clip[1]},
        "temporal_gt": {"begin_fid": truth[0], "end_fid": truth[1]},
        "captions": asked(caption),
        "questions": asked(question),
    }


def test_one_word_another_tube():
    records = [
        record("the red star spins.", "what spins?", 0, (5, 20)),
        record("the blue star spins.", "what blinks?", 1, (5, 20)),
        record("the blue star moves left.", None, 1, (30, 50)),  # two words
        record("the green star spins.", None, 2, (5, 20), vid="2"),  # another video
        record("the bigger star spins.", None, 0, (5, 20), clip=(0, 80)),  # another clip
        record("the red star rotates.", None, 0, (5, 20)),  # the same tube as the first
    ]
    found = minimal_pairs(records, "test")
    assert [(p["first"], p["second"], p["words"]) for p in found] == [
        ("test-00000-d0", "test-00001-d0", ["red", "blue"]),
        ("test-00000-i0", "test-00001-i0", ["spins", "blinks"]),
    ]
    assert {(p["kind"], p["vid"]) for p in found} == {("word", "1")}


def test_the_same_sentence_about_another_part():
    records = [
        record("the red star spins.", None, 0, (5, 20)),
        record("the red star spins.", None, 0, (60, 80), clip=(50, 149)),
        record("the red star spins.", None, 0, (5, 20), clip=(0, 50)),
    ]
    found = minimal_pairs(records, "val")
    assert [(p["kind"], p["first"], p["second"], p["words"]) for p in found] == [
        ("moved", "val-00000-d0", "val-00001-d0", []),
        ("moved", "val-00001-d0", "val-00002-d0", []),
    ]


def test_words_that_only_shift_are_no_pair():
    records = [
        record("the star spins.", None, 0, (5, 20)),
        record("the star spins for the first time.", None, 1, (5, 20)),
    ]
    assert minimal_pairs(records, "test") == []
