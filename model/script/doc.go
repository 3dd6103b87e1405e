// Package script is a scripted model: a YAML file says what is answered to what.
// It serves tests, examples and replays, needs no key and no network, and never
// claims to be intelligent. It may not keep a conversation: the answer is a pure
// function of the request, so it is the same again after a crash. The one thing
// it counts is `times`, per [Player].
//
// On the line request -> run -> step -> journal -> event -> client it stands
// inside a step, where the agent's model step calls it like any other model.
//
// # Format
//
// A script is a list of rules. The first rule whose conditions all hold answers.
//
//	model: demo-1                  # what the replies call the model; the asked name when absent
//	rules:
//	  - name: look it up           # optional, shown in errors
//	    when:
//	      turn: 1                  # 1 + assistant messages; 3, "2..", "..4" or "2..4"
//	      round: 1                 # the same, counted from the last user message
//	      last_user: (?i)weather in (\w+)   # regular expression on the last user message
//	      last_tool: weather       # the conversation ends with a result of this tool
//	      last_result: sunny|dry   # regular expression on the results it ends with
//	      contains: Paris          # some message that is not a system message holds this text
//	      system: be brief         # regular expression on the system messages
//	      model: demo-1            # the name the model was asked for by
//	      offers: weather          # a tool of this name is offered
//	      output: true             # a JSON answer is demanded (false: is not)
//	    times: 1                   # the rule applies to the first N requests that match it
//	    reply:
//	      reasoning: let me see    # streamed before the text
//	      text: it is $1           # or json: any YAML value, said as JSON
//	      calls:
//	        - {name: weather, args: {city: $1, days: 3}}
//	        - {name: weather, malformed: '{"city'}   # arguments that are not JSON
//	      usage: {input: 10, output: 5, cache_read: 4, cache_write: 0}
//	      stop: end                # end, calls, length or refusal
//	      delay: 20ms              # before each streamed piece
//	      chunk: 5                 # characters of a piece, 16 when absent
//	      cut: 10                  # the stream breaks after so many characters
//	      garbage: true            # after its words it sends bytes that mean nothing
//	      hang: true               # after its words it is silent until the caller leaves
//	  - when: {last_user: overload}
//	    error: {status: 429, retry_after: 1s, message: slow down, times: 2}
//	    reply: {text: here I am}   # after the two errors; without it the next rules are asked
//
// Texts and arguments may use $1, $2 … for the groups of last_user, ${name} for
// the named groups of any expression of the rule, ${user} for the last user
// message, ${result} for the last tool result, ${turn}, and $$ for a dollar
// sign. A scalar that is nothing but ${name:json} is said as the JSON value it
// holds, so a group of digits becomes a number. In a rule without groups "$5"
// is five dollars.
//
// Usage that is not given counts white-space separated words. Call ids are
// call_<turn>_<index>. A conversation that no rule matches is an error of code
// invalid that says why each rule did not.
package script
