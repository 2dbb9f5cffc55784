import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Announces an upload: {@code Publish BROKERS TOPIC PREVIEW_ID EXTENSION}. */
public class Publish {
    public static void main(String[] args) throws Exception {
        String key = UUID.fromString(args[2]).toString(); // in lower case
        String value = """
            {"preview_file_id": "%s", "extension": "%s", "uploaded_at": "%s", "encoding": {"fps": "23.976"}}"""
            .formatted(key, args[3], Instant.now());
        ProducerRecord<String, String> record = new ProducerRecord<>(args[1], key, value);
        String id = UUID.randomUUID().toString(); // a retry keeps it
        Map.of(
            "content-type", "application/json",
            "ce_specversion", "1.0",
            "ce_id", id,
            "ce_source", "/studio/uploads",
            "ce_type", "rushes.preview-uploaded.v1"
        ).forEach((name, text) -> record.headers().add(name, text.getBytes(StandardCharsets.UTF_8)));

        // Idempotent, with acks=all: the defaults of this client.
        Map<String, Object> settings = Map.of("bootstrap.servers", args[0]);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(record).get();
        }
        System.out.println(id);
    }
}
