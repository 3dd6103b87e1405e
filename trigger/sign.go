package trigger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Scheme says how requests of a webhook are signed. All of them are HMAC-SHA256.
type Scheme string

// The schemes.
const (
	// Standard is that of Standard Webhooks (standardwebhooks.com), by which Orpine signs its own:
	// webhook-id, webhook-timestamp and webhook-signature.
	Standard Scheme = "standard"
	// GitHub signs the body alone: X-Hub-Signature-256. What names the delivery is not signed, and not
	// looked at: it could be changed, and the rest sent again.
	GitHub Scheme = "github"
	// Stripe signs time and body: Stripe-Signature: t=..., v1=....
	Stripe Scheme = "stripe"
	// Slack signs time and body: X-Slack-Signature and X-Slack-Request-Timestamp.
	Slack Scheme = "slack"
)

func schemes() []Scheme { return []Scheme{Standard, GitHub, Stripe, Slack} }

func (w *Webhook) scheme() Scheme {
	if w.Scheme == "" {
		return Standard
	}
	return w.Scheme
}

// tolerance is how far the time of a request may be from ours: what was recorded cannot be sent
// again later.
const tolerance = 5 * time.Minute

// minSecret is the length of the shortest secret, in bytes: a shorter one could be guessed.
const minSecret = 16

// Verify checks the signature of a request to a webhook at a moment. header returns a header of the
// request by its name, "" where it has none. id names the delivery, so
// that the same one is taken once: the webhook-id of the standard scheme, else a hash of what was signed. Errors: denied for a signature that does not fit, or is not there, or too old; invalid for a
// secret that is no key. Neither shows the secret or the right signature.
func Verify(secret string, scheme Scheme, header func(name string) string, body []byte, now time.Time) (id string, err error) {
	key := []byte(secret)
	if scheme == Standard {
		if key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_")); err != nil {
			return "", durable.Errorf(durable.CodeInvalid, "the secret of a webhook of the scheme standard is whsec_ and a key in base64")
		}
	}
	if len(key) < minSecret {
		return "", durable.Errorf(durable.CodeInvalid, "the secret of a webhook has at least %d bytes", minSecret)
	}
	var s signed
	switch scheme {
	case Standard:
		id = header("webhook-id")
		s = readStandard(id, header("webhook-timestamp"), header("webhook-signature"))
	case GitHub:
		s = signed{is: readHex(header("X-Hub-Signature-256"), "sha256="), timeless: true}
	case Stripe:
		s = readStripe(header("Stripe-Signature"))
	case Slack:
		at := header("X-Slack-Request-Timestamp")
		s = signed{before: "v0:" + at + ":", at: at, is: readHex(header("X-Slack-Signature"), "v0=")}
	default:
		return "", durable.Errorf(durable.CodeInvalid, "the scheme %q is none; there are %s", scheme, orNone(schemes()))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s.before))
	mac.Write(body)
	want := mac.Sum(nil)
	fits := false
	for _, is := range s.is {
		fits = hmac.Equal(is, want) || fits
	}
	if !fits {
		return "", durable.Errorf(durable.CodeDenied, "the signature of the request is missing or does not fit")
	}
	if !s.timeless {
		seconds, err := strconv.ParseInt(s.at, 10, 64)
		if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
			return "", durable.Errorf(durable.CodeDenied, "the request was signed more than %s from now, by our clock", tolerance)
		}
	}
	if id == "" {
		id = hex.EncodeToString(want[:16])
	}
	return id, nil
}

// signed is what a request says of its signature.
type signed struct {
	before   string   // what is signed before the body
	at       string   // when, in seconds since 1970
	timeless bool     // the scheme has no time
	is       [][]byte // the signatures, one of which has to fit
}

func readStandard(id, at, signatures string) signed {
	s := signed{before: id + "." + at + ".", at: at}
	for one := range strings.FieldsSeq(signatures) {
		if text, ok := strings.CutPrefix(one, "v1,"); ok {
			if sum, err := base64.StdEncoding.DecodeString(text); err == nil {
				s.is = append(s.is, sum)
			}
		}
	}
	return s
}

func readStripe(header string) signed {
	var s signed
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			s.at = value
		case "v1":
			s.is = append(s.is, readHex(value, "")...)
		}
	}
	s.before = s.at + "."
	return s
}

func readHex(text, prefix string) [][]byte {
	text, ok := strings.CutPrefix(text, prefix)
	sum, err := hex.DecodeString(text)
	if !ok || err != nil || len(sum) == 0 {
		return nil
	}
	return [][]byte{sum}
}
