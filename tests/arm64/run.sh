#!/usr/bin/env bash
# Run imgsim-edge on an emulated arm64 Debian and compare its answers with this machine's.
#
#     sudo tests/arm64/run.sh FOLDER [PACKAGE==VERSION ...]
#
# See the README.md beside this file. FOLDER is made, kept, and used again by the next run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
folder=$(realpath -m "$1")
shift
root=$folder/root
mkdir -p "$folder"

if [ ! -d "$root/usr/lib/aarch64-linux-gnu" ]; then
    debootstrap --arch=arm64 --variant=minbase \
        --include=g++,python3-dev,python3-venv bookworm "$root"
fi
cp -L /etc/ssl/certs/ca-certificates.crt "$root/root/ca.crt"
mounted=()
leave() { for place in "${mounted[@]}"; do umount -R "$place" || true; done; }
trap leave EXIT
for place in proc sys dev; do
    mount --rbind "/$place" "$root/$place"
    mount --make-rslave "$root/$place"
    mounted+=("$root/$place")
done

rm -rf "$folder/wheel" "$folder/here" "$root/root/run"
python3 -m venv "$folder/venv"
copy=$(mktemp -d)
git -C "$source" archive HEAD | tar -x -C "$copy"
"$folder/venv/bin/pip" wheel -q --no-deps -w "$folder/wheel" "$copy"
rm -rf "$copy"
"$folder/venv/bin/pip" install -q "$(ls "$folder"/wheel/*.whl)[graph,web]" "$@"
"$folder/venv/bin/pip" install -q --no-deps --force-reinstall "$folder"/wheel/*.whl

mkdir -p "$folder/here" "$root/root/run"
"$folder/venv/bin/python" "$here/photos.py" "$source/tests/photos" "$folder/here/photos"
cp -r "$folder/here/photos" "$here/answers.py" "$folder"/wheel/*.whl "$root/root/run/"

chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/bin:/bin HNSWLIB_NO_NATIVE=1 \
    PIP_CERT=/root/ca.crt PIP_DEFAULT_TIMEOUT=180 \
    bash -euc '
        cd /root/run
        [ -d /opt/imgsim-edge ] || python3 -m venv /opt/imgsim-edge
        /opt/imgsim-edge/bin/pip install -q "$(ls *.whl)[graph,web]" "$@"
        /opt/imgsim-edge/bin/pip install -q --no-deps --force-reinstall *.whl
        /opt/imgsim-edge/bin/python answers.py photos answers
    ' bash "$@"
(cd "$folder/here" && "$folder/venv/bin/python" "$here/answers.py" photos answers)
"$folder/venv/bin/python" "$here/compare.py" "$folder/here/answers" "$root/root/run/answers"
