"""XMP sidecars: labels as keywords (``dc:subject``) beside a photo, where other programs read them.

A photo itself is never touched. What a sidecar holds besides is kept as it is; which keywords are
ours is written down in it, so that a label that was taken back can leave again and a keyword that
a person set never does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

from ..errors import UsageError
from ..files import whole_file

if TYPE_CHECKING:
    from xml.dom.minidom import Document, Element

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
DIGIKAM = "http://www.digikam.org/ns/1.0/"
OURS = "https://imgsim-edge.invalid/ns/1.0/"  # a name, not an address
XMLNS = "http://www.w3.org/2000/xmlns/"
_PREFIXES = {RDF: "rdf", DC: "dc", OURS: "imgsim"}
_HIERARCHIES = ((LIGHTROOM, "hierarchicalSubject", "|"), (DIGIKAM, "TagsList", "/"))
_LARGEST = 16 << 20  # bytes of a sidecar; real ones have some kilobytes
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + RDF + '">'
    '<rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>\n'
)


def sidecar_of(photo: Path) -> Path:
    """Name the sidecar of a photo: ``a.jpg.xmp``, or ``a.xmp`` where only that is there."""
    full, short = photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp")
    return short if short.is_file() and not full.is_file() else full


def keywords(sidecar: Path) -> list[str]:
    """Read the keywords of a sidecar: ``dc:subject``, and the leaves of hierarchical ones.

    Raises:
        UsageError: it cannot be read, is no XMP, or declares a document type.
    """
    document = _parsed(sidecar)
    found = _items(document, DC, "subject")
    for namespace, name, separator in _HIERARCHIES:
        found += [path.split(separator)[-1] for path in _items(document, namespace, name)]
    return list(dict.fromkeys(word for word in found if word))


def merge(photo: Path, labels: Iterable[str]) -> Path | None:
    """Bring the sidecar of a photo up to date with its labels; whole or not at all.

    Args:
        photo: whose sidecar it is; need not be opened.
        labels: all that the photo has now. Labels that an earlier call wrote and that are not
            among them leave.

    Returns:
        the sidecar where it changed, None where all was as it should be.

    Raises:
        UsageError: the sidecar is none that can be read, or cannot be written.
    """
    path = sidecar_of(photo)
    wanted = list(dict.fromkeys(labels))
    there = path.is_file()
    if not there and not wanted:
        return None
    from xml.dom import minidom

    document = _parsed(path) if there else minidom.parseString(_EMPTY.encode())
    present, ours = _items(document, DC, "subject"), _items(document, OURS, "labels")
    left = [word for word in present if word not in ours or word in wanted]
    added = [word for word in wanted if word not in left]
    now_ours = [word for word in ours if word in wanted and word in left] + added
    if (left + added, now_ours) == (present, ours):
        return None
    _set_items(document, path, DC, "subject", left + added)
    _set_items(document, path, OURS, "labels", now_ours)
    content = b"".join(node.toxml().encode() + b"\n" for node in document.childNodes)
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def _parsed(path: Path) -> Document:
    """Parse a sidecar that declares no document type: then it has no entities to expand."""
    from xml.dom import minidom

    def refuse(*_: object) -> None:
        raise UsageError(f"{path} is no XMP sidecar: it declares a document type")

    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is no XMP sidecar: it is larger than 16 MB")
        content = path.read_bytes()
        guard = expat.ParserCreate()
        guard.StartDoctypeDeclHandler = refuse
        guard.Parse(content, True)
        document = minidom.parseString(content)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (expat.ExpatError, ValueError) as error:
        raise UsageError(f"{path} is no XMP sidecar: {error}") from error
    if not document.getElementsByTagNameNS(RDF, "RDF"):
        raise UsageError(f"{path} is no XMP sidecar: it holds no rdf:RDF")
    return document


def _items(document: Document, namespace: str, name: str) -> list[str]:
    return [
        "".join(node.data for node in item.childNodes if node.nodeType == node.TEXT_NODE).strip()
        for element in document.getElementsByTagNameNS(namespace, name)
        for item in element.getElementsByTagNameNS(RDF, "li")
    ]


def _set_items(document: Document, path: Path, namespace: str, name: str, words: list[str]) -> None:
    """Make the words the items of a bag, in place of those that are there."""
    elements = document.getElementsByTagNameNS(namespace, name)
    for element in elements:
        parent = element.parentNode
        if parent is not None:
            parent.removeChild(element)
    if not words:
        return
    descriptions = document.getElementsByTagNameNS(RDF, "Description")
    if descriptions:
        home = descriptions[0]
    else:
        home = document.createElementNS(RDF, "rdf:Description")
        home.setAttributeNS(RDF, "rdf:about", "")
        document.getElementsByTagNameNS(RDF, "RDF")[0].appendChild(home)
    element, bag = _element(document, namespace, name), _element(document, RDF, "Bag")
    for word in words:
        item = _element(document, RDF, "li")
        item.appendChild(document.createTextNode(word))
        bag.appendChild(item)
    element.appendChild(bag)
    home.appendChild(element)


def _element(document: Document, namespace: str, name: str) -> Element:
    # Each declares its prefix: what the sidecar calls that namespace elsewhere does not matter.
    prefix = _PREFIXES[namespace]
    element = document.createElementNS(namespace, f"{prefix}:{name}")
    element.setAttributeNS(XMLNS, f"xmlns:{prefix}", namespace)
    return element
