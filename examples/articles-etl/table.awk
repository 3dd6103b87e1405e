# Makes a table of JSON: each object with an id, a title and a number of reactions is a row.
function field(name, pattern) {
  if (!match($0, "\"" name "\":" pattern)) return ""
  value = substr($0, RSTART, RLENGTH)
  sub("^\"" name "\":", "", value)
  return value
}
BEGIN { RS = "}"; printf "%s\n", "id,title,reactions" }
field("id", "[0-9]+") != "" { print field("id", "[0-9]+") "," field("title", "\"[^\"]*\"") "," field("reactions", "[0-9]+") }
