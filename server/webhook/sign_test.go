package webhook

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// TestSign: the signature is the one that the libraries of Standard Webhooks make.
func TestSign(t *testing.T) {
	for _, secret := range []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		key, err := keyOf(secret)
		if err != nil {
			t.Fatal(err)
		}
		got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
		if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
			t.Errorf("with %s the signature is %s; want %s", secret, got, want)
		}
	}
}

// FuzzKeyOf: what is taken for a secret holds a key, and what is made is taken.
func FuzzKeyOf(f *testing.F) {
	for _, secret := range []string{"", "whsec_", newSecret(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_whsec_AAAA", "äöü"} {
		f.Add(secret)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		key, err := keyOf(secret)
		switch {
		case err != nil && !errors.Is(err, durable.ErrInvalid):
			t.Errorf("%q: %v", secret, err)
		case err == nil:
			again, err := keyOf(secretPrefix + base64.StdEncoding.EncodeToString(key))
			if err != nil || string(again) != string(key) {
				t.Errorf("the key in %q is %x, and written anew %x, %v", secret, key, again, err)
			}
		}
	})
}

// FuzzWaitOf: whatever a receiver says, the wait is between none and an hour.
func FuzzWaitOf(f *testing.F) {
	for _, after := range []string{"", "0", "90", "-5", "9223372036854775807", "Fri, 31 Dec 1999 23:59:59 GMT"} {
		f.Add(after)
	}
	f.Fuzz(func(t *testing.T, after string) {
		if d := waitOf(after); d < 0 || d > time.Hour {
			t.Errorf("%q is %s", after, d)
		}
	})
}
