# Plays an API: the second page is not there the first two times. What it was asked for is in out/asked.
mkdir -p out
echo "$1" >>out/asked
if [ "$1" = 2 ] && [ "$(grep -c '^2$' out/asked)" -lt 3 ]; then
  echo "503 Service Unavailable" >&2
  exit 1
fi
cat "pages/$1.json"
