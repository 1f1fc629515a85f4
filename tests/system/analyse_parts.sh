# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the tests of fully provisioned LUNs share. Source it after lib.sh.
# shellcheck disable=SC2154,SC2034 # $target, $primary, $secondary and $result are of those who source it

# The backstore NAME of LIO's own over PATH, which knows nothing of thin provisioning.
full_create() { # NAME PATH BYTES SERIAL
  local place=$target/core/fileio_0/$1
  truncate -s "$3" "$2" && mkdir -p "$target/core/fileio_0" && mkdir "$place" &&
    echo -n "fd_dev_name=$2,fd_dev_size=$3,fd_buffered_io=1" >"$place/control" &&
    echo 1 >"$place/enable" && echo "$4" >"$place/wwn/vpd_unit_serial"
}

# Files of many sizes, a third of them deleted again, others in many pieces side by side. SCALE: 1 for
# about 25 MB, less for less.
fill() { # FOLDER [SEED [SCALE]]
  python3 - "$1" "${2:-5}" "${3:-1}" <<'EOF'
import os, random, sys
root, seed, scale = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
random.seed(seed)
noise = os.urandom(1 << 20)
def put(file, length):
    length = int(length * scale)
    at = random.randrange(len(noise) - length)
    file.write(noise[at:at + length])
names = []
for folder in range(6):
    os.makedirs(f"{root}/folder{folder}/deep")
    for number in range(12):
        names.append(f"{root}/folder{folder}/{'deep/' if number % 4 == 0 else ''}file{number}")
for name in names:
    with open(name, "wb") as file:
        put(file, random.choice([0, 10, 4096, 70000, 300000, 900000]))
os.sync()
for name in names[::3]:
    os.unlink(name)
pieces = [open(f"{root}/pieces{number}", "wb", buffering=0) for number in range(8)]
for _ in range(40):
    for file in random.sample(pieces, len(pieces)):
        put(file, random.choice([512, 4096, 20000]))
    os.fsync(file.fileno())
os.truncate(f"{root}/pieces0", 5000)
os.unlink(f"{root}/pieces1")
with open(f"{root}/late", "wb") as file:
    file.seek(3 << 20)
    put(file, 500000)
os.sync()
EOF
}

sums() { # FOLDER
  (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum)
}

# From $primary to $secondary; the JSON in $result.
mirror() { # COMMAND OPTION...
  result=$(thinmirror "$1" --source-map=analyse --json --progress=none "${@:2}" "$primary" \
    "$secondary" 2>/run/mirror.err)
}

# From each of the first COUNT of the array primaries to that of secondaries; the JSON of all in the
# file $mirror_json, which is also there when this was run by check.
readonly mirror_json=/run/mirror.json
mirror_pairs() { # COUNT COMMAND OPTION...
  local i status=0
  : >"$mirror_json"
  for ((i = 0; i < $1; i++)); do
    primary=${primaries[i]} secondary=${secondaries[i]}
    if ! mirror "${@:2}"; then
      status=1
      cat /run/mirror.err
    fi
    printf '%s\n' "$result" >>"$mirror_json"
  done
  return "$status"
}
