#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A primary and a secondary LUN for thinmirror, each on its own target. Only one initiator may log
# in (ACL), and only with the CHAP user and secret. Run as root; on one machine to try it, or with
# SIDES=primary on one and SIDES=secondary on the other.
set -euo pipefail
if (($# > 0)); then
  echo "usage: $0, with settings in the environment; the top of the file lists them" >&2
  exit 2
fi

# Change these here, or set them in the environment:
: "${SIDES:=primary secondary}"
: "${VOLUMES:=/srv/thin}"                            # the directory of the volumes
: "${SIZE:=10G}"                                     # of volumes that have to be made
: "${BLOCK_SIZE:=512}"                               # 512 or 4096
: "${IQN_PREFIX:=iqn.2026-11.org.example}"           # targets PREFIX:primary, PREFIX:secondary
: "${INITIATOR:=}"                                   # the only one allowed; empty: this machine's
: "${CHAP_USER:=mirror}"
: "${CHAP_SECRET:=}"                                 # 12 to 16 characters; empty: made up here
: "${AUTH_FILE:=/etc/thinmirror.auth}"               # user and secret for thinmirror go there

if [[ -z $INITIATOR ]]; then
  INITIATOR=$(sed -n 's/^InitiatorName=//p' /etc/iscsi/initiatorname.iscsi)
fi
if [[ -z $CHAP_SECRET ]]; then
  CHAP_SECRET=$(od -An -N 8 -t x1 /dev/urandom | tr -d ' \n')
fi
mkdir -p "$VOLUMES"

for side in $SIDES; do
  [[ -e $VOLUMES/$side ]] || thinvol create --block-size="$BLOCK_SIZE" "$VOLUMES/$side" "$SIZE"
done

# Secrets go through a file and standard input: a command line is seen by everyone.
# What the file has for other targets is kept.
umask 077
others=$(grep -vE "^$IQN_PREFIX:(${SIDES// /|}) " "$AUTH_FILE" 2>/dev/null) || true
{
  for side in $SIDES; do
    printf '%s %s %s\n' "$IQN_PREFIX:$side" "$CHAP_USER" "$CHAP_SECRET"
  done
  [[ -z $others ]] || printf '%s\n' "$others"
} >"$AUTH_FILE"
chmod 600 "$AUTH_FILE"

targetcli < <(
  for side in $SIDES; do
    iqn=$IQN_PREFIX:$side
    volume=$VOLUMES/$side
    cat <<EOF
/backstores/user:thin create name=$side size=$(stat -c %s "$volume") cfgstring=$volume control=hw_block_size=$BLOCK_SIZE
/iscsi create $iqn
/iscsi/$iqn/tpg1/luns create /backstores/user:thin/$side
/iscsi/$iqn/tpg1 set attribute authentication=1 generate_node_acls=0
/iscsi/$iqn/tpg1/acls create $INITIATOR
/iscsi/$iqn/tpg1/acls/$INITIATOR set auth userid=$CHAP_USER password=$CHAP_SECRET
EOF
  done
  echo saveconfig
) | grep -v "^Parameter password" || true

# targetcli goes on after a line that failed and then still ends with 0, so its status says little:
# look at what is there.
for side in $SIDES; do
  if [[ ! -d /sys/kernel/config/target/iscsi/$IQN_PREFIX:$side/tpgt_1/acls/$INITIATOR/lun_0 ]]; then
    echo "The $side was not made; /var/log/tcmu-runner.log or thindoctor says why." >&2
    exit 1
  fi
done
# The kernel writes persistent reservations down here, and makes no folder for them.
mkdir -p "$(cat /sys/kernel/config/target/dbroot)/pr"

echo "
Log in as $INITIATOR; $AUTH_FILE has the secret. With both targets up, for example here:
  thinmirror sync --auth-file=$AUTH_FILE \\
    iscsi://$CHAP_USER@127.0.0.1/$IQN_PREFIX:primary/0 \\
    iscsi://$CHAP_USER@127.0.0.1/$IQN_PREFIX:secondary/0"
