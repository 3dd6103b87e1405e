# Writes what it reads to out/articles.csv, all of it or nothing.
mkdir -p out
{ cat && echo; } >out/articles.tmp && mv out/articles.tmp out/articles.csv && echo out/articles.csv
