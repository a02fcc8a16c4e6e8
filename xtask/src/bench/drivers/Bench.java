import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** RocketMQ's own client, as fast as it goes with one queue of a topic: batches of 32 messages by several threads, and pulls. */
public class Bench {
    static final int BATCH = 32;
    static final int THREADS = 8;

    public static void main(String[] arguments) throws Exception {
        String what = arguments[0], names = arguments[1], topic = arguments[2];
        int messages = Integer.parseInt(arguments[3]), bytes = Integer.parseInt(arguments[4]);
        double seconds = what.equals("produce") ? produce(names, topic, messages, bytes) : consume(names, topic, messages);
        System.out.println("rate " + messages / seconds);
        System.exit(0);
    }

    static double produce(String names, String topic, int messages, int bytes) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("bench");
        producer.setNamesrvAddr(names);
        producer.setSendMsgTimeout(30000);
        producer.start();
        producer.createTopic("TBW102", topic, 1, Collections.emptyMap());
        List<MessageQueue> queues = Collections.emptyList();
        for (int attempt = 0; queues.isEmpty() && attempt < 100; attempt++) {
            try {
                queues = producer.fetchPublishMessageQueues(topic);
            } catch (Exception notYet) {
                Thread.sleep(100);
            }
        }
        MessageQueue queue = queues.get(0);
        byte[] body = "x".repeat(bytes).getBytes(StandardCharsets.UTF_8);
        CountDownLatch done = new CountDownLatch(THREADS);
        long begin = System.nanoTime();
        for (int thread = 0; thread < THREADS; thread++) {
            new Thread(() -> {
                try {
                    for (int sent = 0; sent < messages / THREADS; sent += BATCH) {
                        List<Message> batch = new ArrayList<>(BATCH);
                        for (int number = 0; number < BATCH; number++) {
                            batch.add(new Message(topic, body));
                        }
                        while (true) {
                            try {
                                producer.send(batch, queue);
                                break;
                            } catch (org.apache.rocketmq.client.exception.MQBrokerException busy) {
                                Thread.sleep(1);
                            }
                        }
                    }
                } catch (Exception failed) {
                    failed.printStackTrace();
                    System.exit(1);
                }
                done.countDown();
            }).start();
        }
        done.await();
        return (System.nanoTime() - begin) / 1e9;
    }

    @SuppressWarnings("deprecation")
    static double consume(String names, String topic, int messages) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer("bench");
        consumer.setNamesrvAddr(names);
        consumer.start();
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        long offset = consumer.minOffset(queue), read = 0;
        long begin = System.nanoTime();
        while (read < messages) {
            PullResult result = consumer.pullBlockIfNotFound(queue, "*", offset, 1024);
            offset = result.getNextBeginOffset();
            read += result.getMsgFoundList() == null ? 0 : result.getMsgFoundList().size();
        }
        return (System.nanoTime() - begin) / 1e9;
    }
}
