# Writes the runs that did not end before a day to out/runs.csv, and says how many did.
if [ -e locked ]; then
  echo "the table is locked" >&2
  exit 1
fi
mkdir -p out
awk -F, -v before="$1" 'NR > 1 && $3 < before { n++; next } { print >"out/runs.tmp" } END { print n + 0 }' runs.csv && mv out/runs.tmp out/runs.csv
