// Announces an upload: node publish.mjs BROKERS TOPIC PREVIEW_ID EXTENSION
import { randomUUID } from "node:crypto";
import { compatibilityPartitioner, ProduceAcks, Producer, stringSerializers } from "@platformatic/kafka";

const [brokers, topic, previewId, extension] = process.argv.slice(2);
const key = previewId.toLowerCase();
const id = randomUUID(); // a retry keeps it
const producer = new Producer({
  clientId: "studio-uploads",
  bootstrapBrokers: brokers.split(","),
  serializers: stringSerializers,
  idempotent: true,
  partitioner: compatibilityPartitioner, // as other clients; without it a preview's records lose their order
});
await producer.send({
  acks: ProduceAcks.ALL,
  messages: [
    {
      topic,
      key,
      value: JSON.stringify({
        preview_file_id: key,
        extension,
        uploaded_at: new Date().toISOString(),
        encoding: { fps: "23.976" },
      }),
      headers: {
        "content-type": "application/json",
        ce_specversion: "1.0",
        ce_id: id,
        ce_source: "/studio/uploads",
        ce_type: "rushes.preview-uploaded.v1",
      },
    },
  ],
});
await producer.close();
console.log(id);
