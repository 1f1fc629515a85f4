# SPDX-License-Identifier: Apache-2.0
# cmocka's TAP lines with the reason of a skip, which the rig tells in a comment before, behind it.
/^# skipped: / { reason = substr($0, 12); next }
/^(not )?ok [0-9]+ # SKIP / {
  number = $1 == "ok" ? $2 : $3
  sub(/^.*# SKIP /, "")
  print "ok " number " - " $0 " # SKIP " reason
  next
}
{ print }
