#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Takes down what the other examples made: the targets, their LUNs, ACLs and backstores. Initiators
# should log out first. The volumes stay, with all their data; to delete one too: rm PATH PATH.thin
#
#   tear-down.sh                     the targets of all the examples
#   tear-down.sh IQN=BACKSTORE...    these
set -euo pipefail
: "${IQN_PREFIX:=iqn.2026-11.org.example}"
(($# > 0)) || set -- "$IQN_PREFIX":{disk1=disk1,disk2=disk2,primary=primary,secondary=secondary}
for pair in "$@"; do
  if [[ $pair != ?*=?* ]]; then
    echo "usage: $0 [IQN=BACKSTORE...]" >&2
    exit 2
  fi
done

targetcli < <(
  for pair in "$@"; do
    [[ ! -d /sys/kernel/config/target/iscsi/${pair%=*} ]] || echo "/iscsi delete ${pair%=*}"
    [[ -z $(compgen -G "/sys/kernel/config/target/core/user_*/${pair#*=}") ]] ||
      echo "/backstores/user:thin delete ${pair#*=}"
  done
  echo saveconfig
)

for pair in "$@"; do
  if [[ -n $(compgen -G "/sys/kernel/config/target/*/${pair%=*}") ||
    -n $(compgen -G "/sys/kernel/config/target/core/user_*/${pair#*=}") ]]; then
    echo "$pair is still there." >&2
    exit 1
  fi
done
