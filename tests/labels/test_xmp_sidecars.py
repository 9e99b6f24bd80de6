"""Labels in XMP sidecars: merged, reversible, and safe to read."""

from __future__ import annotations

from pathlib import Path

import pytest
from imgsim_edge.infer.errors import UsageError
from imgsim_edge.infer.labels.sidecar import keywords, merge, sidecar_of

LIGHTROOM = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core">
 <!-- kept -->
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:d="http://purl.org/dc/elements/1.1/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmp:Rating="4">
   <d:subject><r:Bag><r:li>holiday</r:li><r:li>sea &amp; sand</r:li></r:Bag></d:subject>
   <lr:hierarchicalSubject><r:Bag><r:li>animals|cat|Shrek</r:li></r:Bag></lr:hierarchicalSubject>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
DIGIKAM = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:digiKam="http://www.digikam.org/ns/1.0/" rdf:about="">
<digiKam:TagsList><rdf:Seq><rdf:li>People/Anna</rdf:li></rdf:Seq></digiKam:TagsList>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_a_new_sidecar_holds_the_labels_and_the_photo_is_not_touched(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"photo")
    before = photo.stat().st_mtime_ns
    assert merge(photo, ["Shrek", "cat <3 & dog"]) == tmp_path / "a.jpg.xmp"
    assert keywords(sidecar_of(photo)) == ["Shrek", "cat <3 & dog"]
    assert merge(photo, ["Shrek", "cat <3 & dog"]) is None
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == (b"photo", before)
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "a.jpg.xmp"}


def test_what_is_not_ours_is_kept(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.xmp"
    sidecar.write_text(LIGHTROOM)
    assert keywords(sidecar) == ["holiday", "sea & sand", "Shrek"]
    assert merge(tmp_path / "a.jpg", ["cat", "holiday"]) == sidecar
    assert keywords(sidecar) == ["holiday", "sea & sand", "cat", "Shrek"]
    text = sidecar.read_text()
    for kept in ('xmp:Rating="4"', "<!-- kept -->", "animals|cat|Shrek", '<?xpacket end="w"?>'):
        assert kept in text
    # Taken back: our word leaves, the one that was there before stays.
    merge(tmp_path / "a.jpg", [])
    assert keywords(sidecar) == ["holiday", "sea & sand", "Shrek"]
    assert merge(tmp_path / "a.jpg", []) is None


def test_the_hierarchies_of_digikam_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.xmp").write_text(DIGIKAM)
    assert keywords(tmp_path / "a.jpg.xmp") == ["Anna"]


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        "<x>",
        "<x/>",
        "",
    ],
)
def test_anything_else_is_refused_and_left_alone(content: str, tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(content)
    with pytest.raises(UsageError, match="no XMP sidecar"):
        keywords(sidecar)
    with pytest.raises(UsageError, match="no XMP sidecar"):
        merge(tmp_path / "a.jpg", ["cat"])
    assert sidecar.read_text() == content
