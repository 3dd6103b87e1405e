package trigger_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// The examples are those that GitHub, Slack and Standard Webhooks publish with their schemes.
const (
	githubSecret   = "It's a Secret to Everybody"
	githubBody     = "Hello, World!"
	githubSign     = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	slackSecret    = "8f742231b10e8888abcd99yyyzzz85a5"
	slackBody      = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	slackSign      = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
	slackAt        = 1531420618
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	standardID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	standardBody   = `{"test": 2432232314}`
	standardSign   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	standardAt     = 1614265330
)

func stripeSign(secret, body string, at int64) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at, body)
	return fmt.Sprintf("t=%d,v1=%s,v0=ff", at, hex.EncodeToString(mac.Sum(nil)))
}

// TestVerify: what fits is let in, and nothing else.
func TestVerify(t *testing.T) {
	const stripeSecret = "whsec_0123456789abcdef"
	for _, c := range []struct {
		name   string
		secret string
		scheme trigger.Scheme
		header map[string]string
		body   string
		now    int64
		want   error
	}{
		{"github", githubSecret, trigger.GitHub, map[string]string{"X-Hub-Signature-256": githubSign}, githubBody, 0, nil},
		{"github, another body", githubSecret, trigger.GitHub, map[string]string{"X-Hub-Signature-256": githubSign}, githubBody + " ", 0, durable.ErrDenied},
		{"github, another secret", githubSecret + "!", trigger.GitHub, map[string]string{"X-Hub-Signature-256": githubSign}, githubBody, 0, durable.ErrDenied},
		{"github, no signature", githubSecret, trigger.GitHub, nil, githubBody, 0, durable.ErrDenied},
		{"github, an empty one", githubSecret, trigger.GitHub, map[string]string{"X-Hub-Signature-256": "sha256="}, githubBody, 0, durable.ErrDenied},
		{"github, the old one", githubSecret, trigger.GitHub, map[string]string{"X-Hub-Signature": strings.Replace(githubSign, "256", "1", 1)}, githubBody, 0, durable.ErrDenied},
		{"slack", slackSecret, trigger.Slack, map[string]string{"X-Slack-Signature": slackSign, "X-Slack-Request-Timestamp": fmt.Sprint(slackAt)}, slackBody, slackAt + 60, nil},
		{"slack, too late", slackSecret, trigger.Slack, map[string]string{"X-Slack-Signature": slackSign, "X-Slack-Request-Timestamp": fmt.Sprint(slackAt)}, slackBody, slackAt + 301, durable.ErrDenied},
		{"slack, from the future", slackSecret, trigger.Slack, map[string]string{"X-Slack-Signature": slackSign, "X-Slack-Request-Timestamp": fmt.Sprint(slackAt)}, slackBody, slackAt - 301, durable.ErrDenied},
		{"slack, another time", slackSecret, trigger.Slack, map[string]string{"X-Slack-Signature": slackSign, "X-Slack-Request-Timestamp": fmt.Sprint(slackAt + 1)}, slackBody, slackAt, durable.ErrDenied},
		{"standard", standardSecret, trigger.Standard, map[string]string{"webhook-id": standardID, "webhook-timestamp": fmt.Sprint(standardAt), "webhook-signature": "v1,AAAA " + standardSign}, standardBody, standardAt, nil},
		{"standard, another id", standardSecret, trigger.Standard, map[string]string{"webhook-id": standardID + "x", "webhook-timestamp": fmt.Sprint(standardAt), "webhook-signature": standardSign}, standardBody, standardAt, durable.ErrDenied},
		{"standard, another version", standardSecret, trigger.Standard, map[string]string{"webhook-id": standardID, "webhook-timestamp": fmt.Sprint(standardAt), "webhook-signature": "v2" + standardSign[2:]}, standardBody, standardAt, durable.ErrDenied},
		{"standard, no key", "whsec_!", trigger.Standard, nil, "", 0, durable.ErrInvalid},
		{"stripe", stripeSecret, trigger.Stripe, map[string]string{"Stripe-Signature": stripeSign(stripeSecret, "{}", 1000)}, "{}", 1299, nil},
		{"stripe, too late", stripeSecret, trigger.Stripe, map[string]string{"Stripe-Signature": stripeSign(stripeSecret, "{}", 1000)}, "{}", 1301, durable.ErrDenied},
		{"stripe, no time", stripeSecret, trigger.Stripe, map[string]string{"Stripe-Signature": "v1=00"}, "{}", 1301, durable.ErrDenied},
		{"a short secret", "hush", trigger.GitHub, nil, "", 0, durable.ErrInvalid},
		{"no scheme", githubSecret, "md5", nil, "", 0, durable.ErrInvalid},
	} {
		header := func(name string) string {
			for k, v := range c.header {
				if strings.EqualFold(k, name) {
					return v
				}
			}
			return ""
		}
		id, err := trigger.Verify(c.secret, c.scheme, header, []byte(c.body), time.Unix(c.now, 0))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (err == nil) != (id != "") {
			t.Errorf("%s: %q, %v; want %v", c.name, id, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), c.secret) && len(c.secret) > 8 {
			t.Errorf("%s: the error shows the secret", c.name)
		}
		if c.scheme == trigger.Standard && err == nil && id != standardID {
			t.Errorf("the delivery is %q", id)
		}
	}
}

// FuzzVerify: what was not signed with the key is not let in, whatever the headers hold.
func FuzzVerify(f *testing.F) {
	f.Add("github", "sha256=00", "", "", "{}")
	f.Add("slack", "v0=00", "1531420618", "", "{}")
	f.Add("stripe", "t=1531420618,v1=00,v1=01", "", "", "{}")
	f.Add("standard", "v1,AAAA v1,", "1531420618", "id", "{}")
	secret := base64.StdEncoding.EncodeToString(make([]byte, 32))
	f.Fuzz(func(t *testing.T, scheme, signature, at, id, body string) {
		header := func(name string) string {
			switch name = strings.ToLower(name); {
			case strings.Contains(name, "signature"):
				return signature
			case strings.Contains(name, "timestamp"):
				return at
			}
			return id
		}
		if _, err := trigger.Verify(secret, trigger.Scheme(scheme), header, []byte(body), time.Unix(1531420618, 0)); err == nil {
			t.Errorf("%s with %q was let in", scheme, signature)
		}
	})
}
