"""Studies as YAML files: what they mean, and a line for every mistake."""

from dataclasses import fields

import pytest
from conftest import REPOSITORY

from ctl_helpers.errors import StudyError
from ctl_helpers.study.settings import FIELDS, Settings, read_study, spelled


@pytest.fixture
def written(tmp_path):
    def write(text):
        file = tmp_path / "mine.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_without_a_file_there_is_one_block_with_the_defaults():
    study = read_study()
    assert study.settings == Settings() and study.blocks == {"": Settings()}
    assert (study.settings.protocols, study.settings.folds) == (("kfold",), 10)


def test_blocks_have_what_they_say_and_the_rest_from_the_study(written):
    file = written(
        """
about: Words for a reader.
names: [emodb, casia]
out: somewhere
folds: 5
blocks:
  first:
    about: More words.
    methods: cpac/modern
    names: emodb
    seeds: 3
  second:
    protocols: [loso, grouped]
    pairs: none
    changes:
      - settings: {attention: null}
      - {epochs: 3}
"""
    )
    study = read_study(file)
    assert list(study.blocks) == ["first", "second"]
    first, second = study.blocks.values()
    assert (first.names, first.methods, first.seeds) == (("emodb",), ("cpac/modern",), (3,))
    assert (second.names, second.folds, second.pairs) == (("emodb", "casia"), 5, ())
    assert second.changes == ({"settings": {"attention": None}}, {"epochs": 3})
    assert second.methods == Settings().methods and first.out == second.out == "somewhere"


def test_a_change_takes_the_place_of_the_files_in_every_block(written):
    file = written("seeds: [1, 2]\nblocks: {a: {epochs: 9}, b: {}}")
    study = read_study(file, {"epochs": "4", "seeds": ["7", "8"], "notebooks": False})
    assert [block.epochs for block in study.blocks.values()] == [4, 4]
    assert study.settings.seeds == (7, 8) and not study.settings.notebooks
    file = written("changes: {epochs: 20, shift: 4}\nblocks: {1: {}, b: {changes: {epochs: 9}}}")
    study = read_study(file, {"epochs": "4"})
    assert [(name, one.epochs, one.changes) for name, one in study.blocks.items()] == [
        ("1", 4, ({"shift": 4},)),
        ("b", 4, ({},)),
    ]


def test_words_of_a_command_line_are_values_as_in_yaml():
    study = read_study(
        None,
        {
            "emotions": ["excited:happy", "exc:happy"],
            "changes": ["epochs=20,shift=4", "loss=margin"],
            "protocols": ["none"],
            "only": ["0", "2"],
            "folds": "3",
        },
    )
    found = study.settings
    assert found.emotions == {"excited": "happy", "exc": "happy"}
    assert found.changes == ({"epochs": 20, "shift": 4}, {"loss": "margin"})
    assert (found.protocols, found.only, found.folds) == ((), (0, 2), 3)


def test_a_home_folder_is_meant_by_its_sign_in_yaml_too(written, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = read_study(written("corpora: ~/ser\nout: ~/reports\n")).settings
    assert (found.corpora, found.out) == (f"{tmp_path}/ser", f"{tmp_path}/reports")


def test_an_empty_word_leaves_a_class_out(written):
    assert read_study(None, {"emotions": ["fear:", "exc:happy"]}).settings.emotions == {
        "fear": "",
        "exc": "happy",
    }
    file = written("emotions: {fear: '', sad: , 0: 1}")
    assert read_study(file).settings.emotions == {"fear": "", "sad": "", "0": "1"}
    file = written("emotions:\n- exc: happy\n- fru: angry\n")
    assert read_study(file).settings.emotions == {"exc": "happy", "fru": "angry"}


def test_an_engine_of_the_command_line_needs_no_scheduler_of_the_file(written):
    file = written("engine: dask\nscheduler: tcp://a:1")
    assert read_study(file).settings.scheduler == "tcp://a:1"
    assert read_study(file, {"engine": "local"}).settings.engine == "local"


def test_none_stands_for_nothing_where_nothing_is_an_answer(written):
    settings = read_study(written("protocols: none\npairs: none\nnormalisations: none")).settings
    assert (settings.protocols, settings.pairs, settings.normalisations) == ((), (), ("none",))


def test_nothing_in_a_yaml_file_is_the_default(written):
    found = read_study(written("epochs:\nnames:\njobs: null\n")).settings
    assert found == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metods: [cpac]", "mine.yaml: no setting 'metods'; did you mean 'methods'?"),
        ("blocks: {one: {protocol: kfold}}", "mine.yaml, block 'one': no setting 'protocol'; did"),
        ("bloks: {}", "did you mean 'blocks'?"),
        ("zzz: 1", "mine.yaml: no setting 'zzz'"),
        ("blocks: {one: {out: x}}", "block 'one': out holds for a whole study, not for a block"),
        ("blocks: [one]", "blocks: expected names with settings"),
        ("blocks: {one: {later: true}}", "'one': later: expected the reason, in words, got True"),
        ("later: it takes days", "mine.yaml: later holds for a block, not for a whole"),
        ("blocks: {one: 3}", "blocks: expected names with settings, got {'one': 3}"),
        ("folds: three", "mine.yaml: folds: expected a whole number, got 'three'"),
        ("folds: 0", "folds: expected a whole number from 1, got 0"),
        ("folds: 2.5", "folds: expected a whole number"),
        ("jobs: true", "jobs: expected a whole number"),
        ("seeds: []", "seeds: expected one number or more, got []"),
        ("methods: []", "methods: expected one word or more, got []"),
        ("normalisations: []", "normalisations: expected one word or more, got []"),
        ("changes: []", "changes: expected one entry or more, got []"),
        ("divisions: []", "divisions: expected one number or more, got []"),
        ("seeds: [a]", "seeds: expected a whole number, got ['a']"),
        ("names: {a: b}", "names: expected a list of words"),
        ("names: [[a]]", "names: expected a word"),
        ("notebooks: maybe", "notebooks: expected true or false, got 'maybe'"),
        ("emotions: [excited]", "emotions: expected pairs such as excited:happy"),
        ("emotions: [{a: x}, {a: y}]", "emotions: expected every word once"),
        ("emotions: [{a: x}, 'b:y']", "emotions: expected every word once"),
        ("emotions: ['b:y', {a: x}]", "emotions: expected pairs such as excited:happy"),
        ("scheduler: tcp://a:1", "scheduler: expected the engine dask with it, got local"),
        ("emotions: 5", "emotions: expected pairs such as excited:happy, got 5"),
        ("columns: [clip=path]", "columns: expected pairs such as file:path"),
        ("columns: {who: speeker}", "did you mean 'speaker'?"),
        ("columns: {who: banana}", "one of path, emotion, speaker"),
        ("emotions: {happy: 'positive, high'}", "labels without commas"),
        ("emotions: {happy: emotion}", "no column of a table: 'emotion'"),
        ("about: 2024-02-30", "expected a YAML file, got: day"),
        ("emotions: ['a:b:c']", "emotions: expected pairs such as excited:happy"),
        ("emotions: ['a:x', 'a:y']", "emotions: expected every word once"),
        ("emotions: {no: neutral}", "emotions: expected words, in quotes where YAML reads"),
        ("emotions: {a: x, a: y}", "the key 'a' twice"),
        ("names: one\nnames: two", "the key 'names' twice"),
        ("divisions: -1", "divisions: expected whole numbers from 0 to 4294967295"),
        ("seeds: [0, 5000000000]", "seeds: expected whole numbers from 0 to 4294967295"),
        ("seconds: 1000000000", "seconds: expected a number of seconds from 0.1 to 3600"),
        ("changes: [epochs]", "changes: expected assignments such as epochs=20"),
        ("changes: 3", "changes: expected assignments such as epochs=20"),
        ("seconds: 0.001", "seconds: expected a number of seconds from 0.1 to 3600, got 0.001"),
        ("emotions: ['Happy:one', 'happy:two']", "one label for a word, of which 'happy'"),
        ("engine: slurm", "engine: expected one of local, dask, got 'slurm'"),
        ("selection: best", "selection: expected one of last, validation, best_test, got 'best'"),
        ("scorings: both", "scorings: expected one of transductive, inductive, got 'both'"),
        ("labels: mood", "labels: expected one of emotion, shared, arousal, valence, got 'mood'"),
        ("normalisations: z", "normalisations: expected one of own, none, utterance, speaker"),
        ("[a, b]", "expected settings, as names: [emodb]"),
        ("names: [", "expected a YAML file, got:"),
        ("names: \x00", "expected a YAML file, got:"),
    ],
)
def test_every_mistake_is_one_line_that_says_where(written, text, expected):
    with pytest.raises(StudyError) as caught:
        read_study(written(text))
    said = str(caught.value)
    assert expected in said and "\n" not in said and "mine.yaml" in said


def test_labels_that_differ_in_case_alone_are_one(written):
    words = {"happy": "Positive ", "sad": "negative", "calm": "positive"}
    expected = {"happy": "Positive", "sad": "negative", "calm": "Positive"}
    assert read_study(None, {"emotions": words}).settings.emotions == expected
    pairs = [f"{word}:{label}" for word, label in words.items()]
    assert read_study(None, {"emotions": pairs}).settings.emotions == expected


def test_mistakes_of_a_command_line_are_named_by_the_option(tmp_path):
    with pytest.raises(StudyError, match=r"^--epochs: expected a whole number, got 'many'$"):
        read_study(None, {"epochs": "many"})
    with pytest.raises(StudyError, match="no such file"):
        read_study(tmp_path / "none.yaml")
    with pytest.raises(StudyError, match="expected a YAML file"):
        read_study(tmp_path)


@pytest.mark.parametrize("file", sorted((REPOSITORY / "studies").glob("*.yaml")), ids=str)
def test_the_studies_that_come_with_the_package_can_be_read(file):
    assert read_study(file).blocks


def test_every_setting_is_defined_once_with_its_help():
    assert [one.name for one in fields(Settings)] == list(FIELDS)
    assert all(one.metadata["text"] for one in FIELDS.values())


def test_corpora_are_spelled_as_they_were_found():
    assert spelled("EMODB", ["casia", "EmoDB"]) == "EmoDB"
    assert spelled("mine", ["Mine", "mine"]) == "mine"
    with pytest.raises(StudyError, match="corpus 'nope': expected one of those found: casia"):
        spelled("nope", ["casia"])
