// Announces an upload: go run . BROKERS TOPIC PREVIEW_ID EXTENSION
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	brokers, topic, id, extension := os.Args[1], os.Args[2], strings.ToLower(os.Args[3]), os.Args[4]
	value, err := json.Marshal(map[string]any{
		"preview_file_id": id,
		"extension":       extension,
		"uploaded_at":     time.Now().UTC().Format(time.RFC3339Nano),
		"encoding":        map[string]any{"fps": "23.976"},
	})
	if err != nil {
		log.Fatal(err)
	}
	eventID := rand.Text() // a retry keeps it

	// Idempotent, with acks=all, and partitions as Java chooses them: the defaults of this client.
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	record := &kgo.Record{Topic: topic, Key: []byte(id), Value: value, Headers: []kgo.RecordHeader{
		{Key: "content-type", Value: []byte("application/json")},
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(eventID)},
		{Key: "ce_source", Value: []byte("/studio/uploads")},
		{Key: "ce_type", Value: []byte("rushes.preview-uploaded.v1")},
	}}
	if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(eventID)
}
