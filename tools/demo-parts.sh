# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# How both demos look: headings, the commands they run, a verdict a comparison, one table.
# shellcheck disable=SC2034 # progress is for those who source it

set -u -o pipefail
comparisons=0 differences=0 step=0
bold="" dim="" green="" red="" plain=""
progress=none
if [[ ${DEMO_STYLE:-} == terminal ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
  progress=bar
fi

heading() {
  step=$((step + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$step" "$*" "$plain"
}

say() {
  printf '   %s\n' "$@"
}

# Shows COMMAND as one would type it, runs it and shows what it says. The demo ends when it fails.
run() {
  local status=0
  printf '   %s$ %s%s\n' "$dim" "$*" "$plain"
  "$@" 2>&1 | sed -u 's/^/     /' || status=$?
  ((status == 0)) || give_up "$* ended with status $status"
}

# Shows and runs COMMAND, but not what it says; 0 and 1 are both fine, as with fsck.
run_quiet() {
  local status=0
  printf '   %s$ %s%s\n' "$dim" "$*" "$plain"
  "$@" >/dev/null 2>&1 || status=$?
  ((status <= 1)) || give_up "$* ended with status $status"
}

give_up() {
  printf '\n%sThe demo ends here: %s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}

# One comparison: COMMAND's success is the verdict.
compare() { # WHAT COMMAND...
  local what=$1
  shift
  comparisons=$((comparisons + 1))
  if "$@" >/dev/null 2>&1; then
    printf '   %s[  holds  ]%s %s\n' "$green" "$plain" "$what"
  else
    differences=$((differences + 1))
    printf '   %s[ DIFFERS ]%s %s\n' "$red" "$plain" "$what"
  fi
}

human() { # BYTES
  awk -v bytes="$1" 'BEGIN {
    split("B KiB MiB GiB TiB", unit, " ")
    for (i = 1; bytes >= 1024 && i < 5; i++) bytes /= 1024
    printf(i == 1 ? "%d %s" : "%.1f %s", bytes, unit[i])
  }'
}

# SIZE BEFORE AFTER COPIED TAKEN, in bytes. Widths count characters, so the text stays ASCII.
print_table() {
  local rule="   +-------------------------------------------+------------+----------+"
  row() {
    printf '   | %-41s | %10s | %7s%% |\n' "$1" "$(human "$2")" \
      "$(awk -v part="$2" -v whole="$lun_size" 'BEGIN { printf "%.1f", 100 * part / whole }')"
  }
  local lun_size=$1
  printf '%s\n   | %-41s | %10s | %8s |\n%s\n' "$rule" "" "bytes" "of LUN" "$rule"
  row "the LUN" "$1"
  row "mapped on the primary, all files there" "$2"
  row "mapped on the primary, half of them gone" "$3"
  row "copied by thinmirror" "$4"
  row "storage taken by the secondary" "$5"
  echo "$rule"
}

finish() {
  if ((differences == 0)); then
    printf '\n%sAll %d comparisons held.%s\n' "$green" "$comparisons" "$plain"
    exit 0
  fi
  printf '\n%s%d of %d comparisons did not hold.%s\n' "$red" "$differences" "$comparisons" "$plain"
  exit 1
}
