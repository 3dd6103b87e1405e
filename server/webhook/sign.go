package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// secretPrefix marks a secret as one for webhooks. It is not part of the key.
const secretPrefix = "whsec_"

// The bounds of a key in bytes, as Standard Webhooks has them.
const (
	minKey = 24
	maxKey = 64
)

func newSecret() string {
	var key [minKey]byte
	rand.Read(key[:]) // never fails, by its documentation
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

// keyOf reads the key in a secret. Error: invalid; it does not show the secret.
func keyOf(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, durable.Errorf(durable.CodeInvalid,
			"webhook: a secret is %s and %d to %d bytes in base64; leave it out to have one made", secretPrefix, minKey, maxKey)
	}
	return key, nil
}

// sign makes the signature of a request: version, comma, HMAC of ID, time and body.
func sign(key []byte, id string, seconds int64, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, seconds, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
