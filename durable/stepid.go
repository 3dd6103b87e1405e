package durable

import (
	"strconv"
	"strings"
)

// StepID names a step within its run, in the form in which a person types it: 3 is
// command 3 of segment 0, 2.3 that of segment 2.
type StepID struct {
	Segment int `json:"segment"`
	Command int `json:"command"`
}

// String is the short form.
func (s StepID) String() string {
	if s.Segment == 0 {
		return strconv.Itoa(s.Command)
	}
	return strconv.Itoa(s.Segment) + "." + strconv.Itoa(s.Command)
}

// ParseStepID reads what String writes; 0.3 is 3. Error: invalid.
func ParseStepID(text string) (StepID, error) {
	segment, command, dotted := strings.Cut(text, ".")
	if !dotted {
		segment, command = "0", text
	}
	s, err1 := strconv.ParseUint(segment, 10, 31)
	c, err2 := strconv.ParseUint(command, 10, 31)
	if err1 != nil || err2 != nil {
		return StepID{}, Errorf(CodeInvalid, "%q is no step; a step is a number, or SEGMENT.NUMBER, as orpine steps prints it", text)
	}
	return StepID{Segment: int(s), Command: int(c)}, nil
}

// StepID names the step.
func (s *Step) StepID() StepID { return StepID{Segment: s.Segment, Command: s.Command} }
