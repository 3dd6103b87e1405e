# Books an amount on an account, once for each key: a line of out/bank is key, account, amount and text.
mkdir -p out
touch out/bank
grep -qF "$ORPINE_IDEMPOTENCY_KEY " out/bank || echo "$ORPINE_IDEMPOTENCY_KEY $*" >>out/bank
awk -v account="$1" '$2 == account { sum += $3 } END { print sum + 0 }' out/bank
