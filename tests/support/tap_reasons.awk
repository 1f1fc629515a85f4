# SPDX-License-Identifier: Apache-2.0
# TAP lines in which every skip has its reason behind it: "ok NUMBER - NAME # SKIP REASON". cmocka's own
# come without; the test has told it in a comment before (skip.h). A skip without a reason
# is a failure, and is made one. Lines of several tests at once have the numbers that ctest -V puts before.

# The prefix "12: ", or nothing; the rest goes to text.
function split_prefix(line,    length_of_prefix) {
  length_of_prefix = match(line, /^[0-9]+: /) ? RLENGTH : 0
  text = substr(line, length_of_prefix + 1)
  return substr(line, 1, length_of_prefix)
}

{ prefix = split_prefix($0) }

text ~ /^# skipped: / { reasons[prefix] = substr(text, 12); next }

text ~ /^(not )?ok .*# SKIP/ {
  reason = text
  sub(/^.*# SKIP */, "", reason)
  name = text
  sub(/^(not )?ok */, "", name)
  number = match(name, /^[0-9]+/) ? substr(name, 1, RLENGTH) " " : ""
  sub(/^[0-9]* *(- )?/, "", name)
  if (name ~ /^# SKIP/) { # cmocka's: what stands behind is the name
    name = reason
    reason = reasons[prefix]
  }
  sub(/ *# SKIP.*$/, "", name)
  delete reasons[prefix]
  if (reason ~ /[^ ]/) print prefix "ok " number "- " name " # SKIP " reason
  else print prefix "not ok " number "- " name " was skipped, and nothing says why"
  next
}

text ~ /^(not )?ok / { delete reasons[prefix] }
{ print }
