"""Merkle trees, keys and the text of heads."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core.errors import SetupError
from cloudllm_thoughts_jsonl import Head, JsonlThoughts, verify
from cloudllm_thoughts_jsonl.heads import Tree
from cloudllm_thoughts_jsonl.keys import PrivateKey, PublicKey, public_key

CHAIN = "5d1b2f57-8f43-4f5e-9d5c-0d2c1d9f8a11"


def sha256(data):
    return hashlib.sha256(data).digest()


def root_by_the_book(leaves):
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root_by_the_book(leaves[:split]) + root_by_the_book(leaves[split:]))


@given(st.integers(0, 70), st.integers(0, 70))
def test_roots_are_those_of_the_book(first, more):
    """A tree that grows in any two steps has the root that RFC 6962 gives all its leaves."""
    leaves = [sha256(bytes([nth])) for nth in range(first + more)]
    tree = Tree()
    tree.grow(leaf.hex() for leaf in leaves[:first])
    assert root_by_the_book(leaves[:first]) == tree.root
    tree.grow(leaf.hex() for leaf in leaves[first:])

    assert (root_by_the_book(leaves), first + more) == (tree.root, tree.size)


def test_a_head_is_a_checkpoint():
    """The text is three lines of C2SP's checkpoint: origin, size, root; then a signature of its signed note."""
    key = PrivateKey.make("example.com/notes")
    head = Head(CHAIN, 7, b"\x01" * 32).signed(key)
    body, signature = str(head).split("\n\n")
    dash, name, encoded = signature.strip().split(" ")
    raw = base64.b64decode(encoded)

    root = base64.b64encode(head.root).decode()

    assert f"cloudllm-thoughts/{CHAIN}\n7\n{root}" == body
    assert ("\u2014", "example.com/notes") == (dash, name)
    assert sha256(b"example.com/notes\n\x01" + key.public.raw)[:4] == raw[:4]
    assert 64 == len(raw[4:])
    assert head == Head.parse(str(head))


def test_a_known_key_signs_as_the_standard_says():
    """The first test vector of RFC 8032, as a key in a signed note's form: public key and signature are as known."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = PrivateKey._of("x", seed)

    assert public == key.public.raw
    assert "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155" == key.sign(b"").hex()[:64]
    assert key.public.has_signed(b"", key.sign(b""))
    assert not key.public.has_signed(b"x", key.sign(b""))
    assert not key.public.has_signed(b"", b"short")


def test_a_signature_is_of_one_key_and_one_text():
    """Another key of the same name, another size, no signature or a damaged one: none is believed."""
    key, other = PrivateKey.make("notes"), PrivateKey.make("notes")
    head = Head(CHAIN, 7, b"\x01" * 32)
    signed = head.signed(other).signed(key)
    signed.check_signature(key.public)
    signed.check_signature(other.public)
    for wrong, who in (
        (head.signed(other), "it names notes"),
        (head, "it names nobody"),
        (Head(CHAIN, 6, head.root, signed.signatures), "it names notes, notes"),
        (Head(CHAIN, 7, head.root, ("\u2014 notes AAAA",)), "it names notes"),
        (Head(CHAIN, 7, head.root, ("\u2014 notes !",)), "it names notes"),
    ):
        with pytest.raises(SetupError) as refused:
            wrong.check_signature(key.public)
        assert f"The head is not signed by {key.public.id} ({who}). It was changed, or this is the wrong key." == str(
            refused.value
        )


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "cloudllm-thoughts/x\n1\n", "cloudllm-thoughts/x\n1\nAAAA\n", "other/x\n1\n" + "A" * 43 + "=\n",
        "cloudllm-thoughts/x\n01\n" + "A" * 43 + "=\n", "cloudllm-thoughts/x\n-1\n" + "A" * 43 + "=\n",
        "cloudllm-thoughts/x\n1\n" + "A" * 43 + "=\nmore\n", "cloudllm-thoughts/x\n1\n" + "A" * 43 + "=\n\nunsigned\n",
    ],
)  # fmt: skip
def test_what_is_no_head_is_refused(text):
    """A text of another form is no head, and the sentence says what one is."""
    with pytest.raises(SetupError, match="This is no head of a chain. One is three lines"):
        Head.parse(text)


def test_keys_come_back_from_their_text(tmp_path):
    """A key is text: it reads back as itself, and its secret half is not shown by accident."""
    key = PrivateKey.make("example.com/notes")
    (tmp_path / "secret.key").write_text(key.to_text() + "\n")
    (tmp_path / "public.key").write_text(f"{key.public}\n")

    assert key == PrivateKey.load(str(tmp_path / "secret.key"))
    assert key.public == PublicKey.parse(str(key.public)) == public_key(str(tmp_path / "public.key"))
    assert "_seed" not in repr(key)
    assert key.to_text().startswith(f"PRIVATE+KEY+{key.public.id}+")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2028b"])
def test_some_names_are_no_names_of_keys(name):
    """What would break the lines of a head is refused."""
    with pytest.raises(SetupError, match="cannot be the name of a key"):
        PrivateKey.make(name)


def test_damaged_keys_are_refused(tmp_path):
    """A key with a wrong letter, a public one in place of the private one, or none at all is told apart."""
    key = PrivateKey.make("notes")
    path = tmp_path / "key"
    other = PrivateKey.make("notes")
    mixed = f"PRIVATE+KEY+{key.public.id}+" + other.to_text().partition(f"{other.public.id}+")[2]
    for text, said in (
        (mixed, "the private key is damaged"),
        (str(key.public), "holds no private key. Make one: cloudllm thoughts keygen NAME --out FILE"),
        ("PRIVATE+KEY+x+y+z", "This is no private key"),
    ):
        path.write_text(text)
        with pytest.raises(SetupError, match=said.replace("+", r"\+")):
            PrivateKey.load(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="it is not text"):
        PrivateKey.load(str(path))
    with pytest.raises(SetupError, match="cannot be read"):
        JsonlThoughts(tmp_path / "a.jsonl", key=tmp_path / "no.key")
    for text in ("nonsense", "a+b+c", str(key.public).replace(key.public.id, "notes+00000000")):
        with pytest.raises(SetupError, match=r"no public key|is damaged"):
            public_key(text)


def test_a_chain_signs_its_heads(tmp_path):
    """With a key, heads are signed, the chain's first line names the key, and opening it checks both."""
    key = PrivateKey.make("notes")
    (tmp_path / "key").write_text(key.to_text())
    settings = {"heads": tmp_path / "heads", "key": tmp_path / "key", "head_every": 1}
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, **settings)
    chain.append("ada", "Finding", "one")
    note = tmp_path / "heads" / "a.head"
    head = Head.parse(note.read_text())

    assert f'"key":"{key.public.id}"'.encode() in path.read_bytes().splitlines()[0]
    assert "sound" == verify(path, head, str(key.public)).status
    assert "The signature was not checked" in verify(path, head).said
    assert 1 == len(JsonlThoughts(path, **settings).thoughts)
    with pytest.raises(SetupError, match="is not signed by"):
        verify(path, head, str(PrivateKey.make("notes").public))
    with pytest.raises(SetupError, match="Give the head as well"):
        verify(path, key=str(key.public))
    note.write_text(head.text)
    with pytest.raises(SetupError, match="it names nobody"):
        list(JsonlThoughts(path, **settings).thoughts)
