# Writes a line into the books, once for each key.
mkdir -p out
touch out/books
grep -qF "$ORPINE_IDEMPOTENCY_KEY " out/books || echo "$ORPINE_IDEMPOTENCY_KEY $*" >>out/books
