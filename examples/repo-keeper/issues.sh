# An MCP server in a few lines of shell: it reads a message from each line of its input, and its one
# tool lists the issues of issues.txt. A real one does more, and speaks in the same way.
issues=
while read -r line; do issues="$issues$line\\n"; done < issues.txt

while read -r message; do
  id=${message#*\"id\":}
  id=${id%%[,\}]*}
  case $message in
  *'"method":"notifications/'*) continue ;;
  *'"method":"initialize"'*)
    result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"issues","version":"1"}}' ;;
  *'"method":"tools/list"'*)
    result='{"tools":[{"name":"list","description":"Lists the open issues.","inputSchema":{"type":"object"}}]}' ;;
  *'"method":"tools/call"'*)
    result='{"content":[{"type":"text","text":"'$issues'"}]}' ;;
  *)
    printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown method"}}\n' "$id"
    continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
