#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What thinvol prints, how it exits, and what it leaves alone.
# usage: thinvol.sh THINVOL
# shellcheck disable=SC2317 # check calls the functions
# shellcheck disable=SC2016 # awk and jq have dollars of their own
set -euo pipefail

thinvol=$1
failed=0
check() { # NAME COMMAND...: passes when the command succeeds
  local name=$1
  shift
  if "$@"; then
    echo "ok - $name"
  else
    echo "not ok - $name"
    sed 's/^/# /' "$scratch/out" "$scratch/err" 2>/dev/null || true
    failed=1
  fi
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
volumes=$scratch/volumes
mkdir "$volumes"
cd "$volumes"

# Each runs thinvol with its output in $scratch/out and its messages in $scratch/err.
under=()
run() {
  status=0
  "${under[@]}" "$thinvol" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
}
works() {
  run "$@"
  [[ $status == 0 && ! -s $scratch/err ]]
}
# STATUS WORDS ARG...: one sentence on stderr with these words in it, and nothing on stdout.
refuses() {
  local expected=$1 words=$2
  shift 2
  run "$@"
  [[ $status == "$expected" && ! -s $scratch/out && $(wc -l <"$scratch/err") == 1 ]] &&
    grep -q '^thinvol: ' "$scratch/err" && grep -qF -- "$words" "$scratch/err"
}
says() { # JQ-CONDITION
  jq -e "$1" "$scratch/out" >/dev/null
}
prints() { # WORDS
  grep -qF -- "$1" "$scratch/out"
}

check "create makes a volume and shows it" works create v 1G
check "it says how large the volume is" prints "1073741824 bytes"
check "it takes no storage" test "$(stat -c %b v)" = 0
check "its description lies beside it" jq -e \
  '.format == "thinmirror-volume" and .version == 1 and .block_size == 512' v.thin
check "nothing else is there" test "$(find . -mindepth 1 | sort | tr '\n' ' ')" = "./v ./v.thin "
check "create refuses a name that is taken" refuses 3 "exists already" create v 2G
printf 'all there is' >left && truncate -s 1M left
check "and a file that somebody left, but says how to keep it" refuses 3 "create --adopt" create left 1M
check "the file stays as it was" test "$(head -c 12 left)" = "all there is"
rm left
check "the volume stays as it was" test "$(stat -c %s v)" = 1073741824
check "--json tells the same" works create --json --block-size=4096 w 8M
check "in numbers" says '.path == "w" and .block_size == 4096 and .blocks == 2048 and
  .lun_bytes == 8388608 and .allocated_bytes == 0 and (.uuid | length == 36)'
while read -r size from number; do
  bytes=$(numfmt --from="$from" "$number")
  check "a size can be written $size" works create --json "size-$size" "$size"
  check "and means $bytes bytes" says ".lun_bytes == $bytes"
done <<'END'
1048576 none 1048576
1024K iec 1024K
1M iec 1M
1m iec 1M
1MiB iec-i 1Mi
1mib iec-i 1Mi
0.5G iec 0.5G
1.5T iec 1.5T
10G iec 10G
10GiB iec-i 10Gi
10GB si 10G
1.536KB si 1.536K
END
check "and 2T is 2 TiB" works create --json large 2T
check "whatever the disk" says '.lun_bytes == 2199023255552'

check "info shows the volume" works info v
check "with its UUID" prints "$(jq -r .uuid v.thin)"
check "info --json too" works info --json v
check "with the same UUID" says ".uuid == $(jq .uuid v.thin)"
check "and no SANITIZE that broke off" says '.sanitize_failed == false'

printf 'x' | dd of=v bs=1 seek=409600 conv=notrunc status=none
printf 'x' | dd of=v bs=1 seek=1073741823 conv=notrunc status=none
check "map lists the extents" works map v
check "in a table" test "$(awk '{ print $1, $2, $3 }' "$scratch/out" | tr '\n' ';')" = \
  "LBA BLOCKS STATUS;0 800 deallocated;800 8 mapped;808 2096336 deallocated;2097144 8 mapped;"
check "whose columns are aligned" awk '{ if (length($1) && index($0, $3) != 36) exit 1 }' "$scratch/out"
check "map --json covers the volume in order" works map --json v
check "without gap or overlap" says '.extents as $all | [range($all | length)] | all(
  $all[.].lba == (if . == 0 then 0 else $all[. - 1] | .lba + .blocks end)) and
  ($all[-1] | .lba + .blocks) == 2097152'
check "and tells the status" says '[.extents[].status] ==
  ["deallocated", "mapped", "deallocated", "mapped"]'
check "map --json of an empty volume is one extent" works map --json w
check "of all its blocks" says '.extents == [{"lba": 0, "blocks": 2048, "status": "deallocated"}]'
if fallocate -n -o 4M -l 1M w && works map --json w && prints anchored; then
  check "reserved storage is anchored" says '.extents[1] ==
    {"lba": 1024, "blocks": 256, "status": "anchored"}'
else
  echo "ok - reserved storage is anchored # SKIP this file system does not tell"
fi

check "check finds the volume sound" works check v
check "and says what it looked at" test "$(cut -d: -f1 "$scratch/out" | head -n 5 | tr '\n' ' ')" = \
  "description size holes map storage "
check "check --json too" works check --json v
check "in numbers as well" says '.result == "done" and .holes_tried and .extents == 4 and .mapped_bytes == 8192 and
  .mapped_bytes + .deallocated_bytes + .anchored_bytes == 1073741824'

before=$(cksum v v.thin)
check "resize refuses to lose data" refuses 3 "--discard" resize v 1M
check "and changes nothing" test "$(cksum v v.thin)" = "$before"
odd=$'odd\xff\xed\xa0\x80"\n'
run create "$odd" 1M
check "a name that targetcli does not take makes a volume all the same" test "$status" = 0
check "with a note" grep -q "^thinvol: note: targetcli takes no path with a character that is not ASCII" \
  "$scratch/err"
for verb in "info" "check"; do
  check "$verb --json is UTF-8 whatever the name is" works "$verb" --json "$odd"
  check "its name is mended" says '.path == "odd????\"\n"'
  check "nothing else is in it" iconv -f UTF-8 -t UTF-8 -o /dev/null "$scratch/out"
done
rm -f "$odd" "$odd.thin"
check "resize makes it longer" works resize --json v 2G
check "by what was asked for" says '.lun_bytes == 2147483648'
check "resize --discard gives data up" works resize --discard --json v 1M
check "and leaves the rest" says '.lun_bytes == 1048576 and .allocated_bytes == 4096'
check "the UUID stays" says ".uuid == $(jq .uuid v.thin)"

printf 'raw bytes' >raw
truncate -s 1M raw
check "a raw file is no volume" refuses 1 "thinvol create --adopt raw" info raw
check "it can be made one" works create --adopt raw
check "and keeps its bytes" test "$(head -c 9 raw)" = "raw bytes"
check "but only once" refuses 3 "exists already" create --adopt raw
truncate -s 1000 odd
check "a file of no whole blocks cannot" refuses 1 "whole blocks" create --adopt odd

# The change record.
check "without a record there are no points" refuses 1 "'thinvol track' begins one" points v
check "and there is nothing to ask" refuses 1 "'thinvol track' begins one" changed v
check "info says so in JSON" works info --json v
check "with null" says '.record == null'
check "track wants to be told which way" refuses 2 "'on' or 'off'" track v
check "and nothing else" refuses 2 "'on' or 'off'" track v maybe
check "track begins a record" works track v on
check "in a file beside the volume" test -f v.track
check "info tells of it" works info v
check "and why it began" grep -qE '^record: .*switched on; 1 point' "$scratch/out"
check "it has a point" works points --json v
start=$(jq -r '.points[0].id' "$scratch/out")
check "the one it began with" says '.points | length == 1 and .[0].lun_bytes == 1048576 and (.[0].id | length == 36)'
check "nothing has changed since" works changed --json v
check "so that the list is empty" says '.changes == []'
check "a new size is a change" works resize v 2M
check "which is told since the oldest point" works changed --json v
check "in blocks" says '.changes == [{"lba": 2048, "blocks": 2048, "suspect": false}]'
check "a point can be cut" works point v
point=$(cat "$scratch/out")
check "and is listed after the first one" bash -c \
  '[[ $("$1" points v | awk "{ print \$1 }" | tr "\n" " ") == "ID $2 $3 " ]]' bash "$thinvol" "$start" "$point"
check "after it nothing has changed" works changed --json --since="$point" v
check "though before it something had" says '.changes == []'
check "what changes then" works resize --discard v 1M
check "and back" works resize v 2M
check "is told since the second point" works changed v --since="$point"
check "in a table" test "$(awk '{ print $1, $2, $3 }' "$scratch/out" | tr '\n' ';')" = "LBA BLOCKS ;2048 2048 ;"
check "a point can be forgotten" works forget v "$start"
check "once" refuses 1 "no such consistency point" forget v "$start"
check "and is not known then" refuses 1 "no such consistency point" changed --since="$start" v
check "what is no ID is wrong use" refuses 2 "is not the ID" changed --since=yesterday v
check "a volume that was changed by another program" dd if=/dev/zero of=v bs=512 count=1 conv=notrunc status=none
check "has no answer any more" refuses 1 "was changed while nothing kept the record" changed --since="$point" v
check "as info says" works info v
check "in words" prints "lost: the volume was changed while nothing kept the record"
under=(flock -x v)
for words in "track v off" "point v" "forget v $point"; do
  read -r -a words <<<"$words"
  check "a volume in use is refused by ${words[0]}" refuses 3 "(flock) and can have only one user" "${words[@]}"
done
under=()
run track v off
check "track off ends it" test "$status" = 0
check "and removes the file" test ! -e v.track
check "the size is as it was" works resize --discard v 1M

for verb in check new-id "resize v 4M" "create --adopt"; do
  read -r -a words <<<"$verb"
  [[ ${#words[@]} -gt 2 ]] || words+=(v)
  under=(flock -x v)
  check "a volume in use is refused by ${words[0]}, which names the user" \
    refuses 3 "(flock) and can have only one user" "${words[@]}"
  under=()
done
run map v
cp "$scratch/out" "$scratch/map"
under=(flock -x v)
check "info looks at a volume in use" works info v
check "and says by whom" grep -qE '^in use: +by process [0-9]+ \(flock\)$' "$scratch/out"
check "in JSON as well" works info --json v
check "by name" says '.holder | test("^process [0-9]+ .flock.$")'
check "map looks at it, too" works map v
check "and shows the same" cmp "$scratch/out" "$scratch/map"
under=()
check "a volume that is not in use" works info --json v
check "has no user" says '.holder == null'
# While it is looked at it can be taken.
mkfifo "$scratch/slow"
(exec "$thinvol" map v >"$scratch/slow") &
exec 5<"$scratch/slow"
check "looking locks nothing" flock -n -x v true
exec 5<&-
wait "$!" || true

# targetcli's own parser is asked what it takes.
takes() { # PATH
  /usr/bin/python3 -W ignore - "$1" "$scratch" <<'END' >/dev/null
import sys, tempfile
from configshell_fb import ConfigShell
parsed = ConfigShell(tempfile.mkdtemp(dir=sys.argv[2]))._parse_cmdline("/b create cfgstring=" + sys.argv[1])
sys.exit(parsed[4].get("cfgstring") != sys.argv[1])
END
}
if takes /plain 2>"$scratch/err"; then
  for name in 'a b' 'a{b' "a'b" 'a"b' 'a^b' 'a`b' 'a|b' 'aäb' 'a\b' 'a[b' 'a%b' 'a$b' 'a=b' 'a@b~'; do
    run create "$name" 1M
    check "of '$name' it is said whether targetcli takes it" \
      test "$(takes "$PWD/$name" && echo 0 || echo 1)" = \
      "$(grep -c '^thinvol: note: targetcli takes no path with' "$scratch/err")"
  done
else
  echo "ok - it is said whether targetcli takes a path # SKIP targetcli's parser is not here"
fi
for name in 'a,b' 'a;b' 'a:b'; do # what the kernel and the handler's options are separated by
  run create "$name" 1M
  check "of '$name' it is said, too" grep -qF "note: targetcli takes no path with the character ${name:1:1}" \
    "$scratch/err"
done
rm -f a?b* a??b*

if [[ $EUID == 0 ]]; then
  mkdir theirs && ln -s ../v theirs/v && ln -s ../v.thin theirs/v.thin && chown 65534 theirs
  before=$(cksum v v.thin)
  for words in "info theirs/v" "map theirs/v" "check theirs/v" "resize theirs/v 4G" "new-id theirs/v" \
    "create --adopt theirs/v"; do
    read -ra words <<<"$words"
    check "a link in a folder of another user is refused by ${words[0]}" refuses 3 \
      'the symbolic link "v"' "${words[@]}"
  done
  check "what it leads to stays as it was" test "$(cksum v v.thin)" = "$before"
  rm -r theirs
else
  echo "ok - a link in a folder of another user is refused # SKIP only root can make such a folder"
fi

old=$(jq -r .uuid v.thin)
before=$(cksum v; jq -c 'del(.uuid)' v.thin)
check "new-id gives a UUID" works new-id --json v
check "which is another one" says ".uuid != \"$old\" and .uuid == $(jq .uuid v.thin)"
check "and changes nothing else" test "$(cksum v; jq -c 'del(.uuid)' v.thin)" = "$before"
check "nothing is left beside it" test ! -e v.thin.new

# Programs that know nothing of the lock.
truncate -s 1M image
sleep 1000 3<>image 4<>v &
for words in "create --adopt image" "check v" "resize v 4G" "new-id v"; do
  read -ra words <<<"$words"
  check "${words[0]} refuses a file that another program has open for writing, and names it" \
    refuses 3 "is open for writing by process $! (sleep)" "${words[@]}"
done
check "no description was made" test ! -e image.thin
check "the map can be read all the same" works map v
kill "$!"
wait "$!" 2>/dev/null || true
if command -v qemu-io >/dev/null; then
  for reads in "" -r; do
    coproc qemu { exec qemu-io $reads -f raw image 2>"$scratch/qemu"; }
    # shellcheck disable=SC2154 # coproc sets it
    pid=$qemu_PID
    printf 'length\n' >&"${qemu[1]}"
    read -r <&"${qemu[0]}"
    check "a disk that qemu has open${reads:+, to read it,} is not adopted" \
      refuses 3 "is $([[ $reads ]] && echo locked || echo open for writing) by process $pid (qemu-io)" \
      create --adopt image
    printf 'quit\n' >&"${qemu[1]}"
    wait "$pid" || true
  done
else
  echo "ok - a disk that qemu has open is not adopted # SKIP no qemu-io here"
fi
sleep 1000 3<image &
check "a program that only reads it does not matter" works create --adopt image
kill "$!"
wait "$!" 2>/dev/null || true
rm image image.thin

check "a missing volume names the way to make one" refuses 1 "thinvol create none SIZE" info none
check "a directory is no volume" refuses 1 "is a directory" info .
jq '.sanitize = "restricted"' v.thin >sealed && cat sealed >v.thin
check "info tells of a SANITIZE that broke off" works info v
check "in words" prints "one broke off"
check "and in JSON" works info --json v
check "by name" says '.sanitize_failed == true'
check "such a volume is not resized" refuses 3 "SANITIZE" resize v 4M
echo '{"format": "thinmirror-volume", "version": 9}' >v.thin
check "an unknown version is refused by name" refuses 1 '"version" is 9' info v
check "by check too" refuses 1 '"version" is 9' check v
check "create needs a directory that exists" refuses 1 "directory" create no/where 1M

check "no verb is wrong use" refuses 2 "thinvol --help"
check "so is an unknown verb" refuses 2 "'destroy'" destroy v
check "and an unknown option" refuses 2 "--sparse" create --sparse x 1M
check "and an option of another verb" refuses 2 "--discard" create --discard x 1M
check "and no path" refuses 2 "PATH" create
check "and no size" refuses 2 "SIZE" create x
check "and one argument too many" refuses 2 "'y'" create x 1M y
check "and a block size that is neither" refuses 2 "'1024'" create --block-size=1024 x 1M
for size in "" 0 1 -1 1.5 1.1K 1X 1GiBB G 1. .5G " 1M" 0x10; do
  check "the size '$size' is refused" refuses 2 "size" create -- x "$size"
done
for size in 99999999999999999999 9223372036854775808 8388608T 18014398509481985K; do
  check "the size $size is too large" refuses 2 "larger than any file" create x "$size"
done
check "a size of no whole blocks is wrong use" refuses 2 "whole blocks of 4096" \
  create --block-size=4096 x 512
check "nothing was made by all that" test -z "$(find . -name 'x*')"

check "--help works" works --help
check "and names every verb" test "$(grep -cE \
  '^  thinvol (create|info|map|check|resize|new-id|track|point|points|forget|changed) ' \
  "$scratch/out")" = 11
for verb in create info map check resize new-id track point points forget changed; do
  check "$verb --help works" works "$verb" --help
  check "and shows how to call it" prints "thinvol $verb "
done
check "output that cannot be written is an error" \
  bash -c '! "$1" --help >/dev/full 2>"$2"' bash "$thinvol" "$scratch/err"

# ramfs cannot punch holes, and needs no module and no disk.
mkdir "$scratch/ramfs"
if unshare -rm mount -t ramfs none "$scratch/ramfs" 2>"$scratch/err"; then
  # shellcheck disable=SC2016 # expands in the inner shell
  unshare -rm sh -c 'mount -t ramfs none "$2" && { "$1" create "$2/v" 1M; echo "$?"; ls "$2"; }' \
    sh "$thinvol" "$scratch/ramfs" >"$scratch/out" 2>"$scratch/err"
  check "a file system that cannot punch holes is refused" \
    grep -q "cannot punch holes" "$scratch/err"
  check "and left as it was" test "$(cat "$scratch/out")" = 1
else
  echo "ok - a file system that cannot punch holes is refused # SKIP no mounts in a namespace here"
fi
exit $failed
