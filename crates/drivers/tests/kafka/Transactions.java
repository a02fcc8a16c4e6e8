// Kafka's own client, for tests: transactions that are committed, aborted, and in each other's way.

import java.util.Properties;
import org.apache.kafka.clients.producer.*;

public class Transactions {
    static KafkaProducer<String, String> producer(String address, String id) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        if (id != null) {
            properties.put("transactional.id", id);
        }
        KafkaProducer<String, String> producer = new KafkaProducer<>(properties);
        if (id != null) {
            producer.initTransactions();
        }
        return producer;
    }

    static void send(KafkaProducer<String, String> producer, String topic, String... bodies) throws Exception {
        for (String body : bodies) {
            producer.send(new ProducerRecord<>(topic, 0, null, body)).get();
        }
    }

    public static void main(String[] args) throws Exception {
        String address = args[0], topic = args[1];
        KafkaProducer<String, String> one = producer(address, topic + "-one");
        KafkaProducer<String, String> other = producer(address, topic + "-other");
        KafkaProducer<String, String> plain = producer(address, null);
        one.beginTransaction();
        send(one, topic, "committed-1");
        other.beginTransaction();
        send(other, topic, "aborted-1");
        send(plain, topic, "plain-1");
        send(one, topic, "committed-2");
        one.commitTransaction();
        send(other, topic, "aborted-2");
        other.abortTransaction();
        // The same producer, whose next transaction is committed.
        other.beginTransaction();
        send(other, topic, "committed-3");
        one.beginTransaction();
        send(one, topic, "aborted-3");
        one.abortTransaction();
        other.commitTransaction();
        send(plain, topic, "plain-2");
        // Whether this one is committed, nobody knows.
        one.beginTransaction();
        send(one, topic, "open-1");
        send(plain, topic, "behind");
        System.out.println("done");
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
