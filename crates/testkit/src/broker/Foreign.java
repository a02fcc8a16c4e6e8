// RocketMQ's own client, for tests: what others write and read. Texts are in base64, `-` is none.

import java.util.*;
import org.apache.rocketmq.acl.common.*;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

public class Foreign {
    static byte[] bytes(String text) {
        return text.equals("-") ? null : Base64.getDecoder().decode(text);
    }

    static String text(byte[] bytes) {
        return bytes == null ? "-" : Base64.getEncoder().encodeToString(bytes);
    }

    public static void main(String[] args) throws Exception {
        String names = args[1];
        switch (args[0]) {
            case "write": write(names, args[2], args[3]); break;
            case "read": read(names, args[2], Integer.parseInt(args[3])); break;
            case "user": user(names, args[2], args[3], args[4], args[5], args[6]); break;
            case "expire": expire(names, args[2]); break;
            default: throw new IllegalArgumentException(args[0]);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    static void write(String names, String broker, String topic) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt();
        admin.setNamesrvAddr(names);
        admin.start();
        TopicConfig config = new TopicConfig(topic, 2, 2);
        admin.createAndUpdateTopicConfig(broker, config);
        DefaultMQProducer producer = new DefaultMQProducer("foreign");
        producer.setNamesrvAddr(names);
        producer.start();
        Scanner in = new Scanner(System.in);
        while (in.hasNext()) {
            byte[] key = bytes(in.next());
            Message message = new Message(topic, bytes(in.next()));
            if (key != null) message.setKeys(new String(key, "UTF-8"));
            message.setTags("foreign");
            producer.send(message);
        }
        System.out.println("written");
    }

    static void read(String names, String topic, int count) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer("foreign-reader");
        consumer.setNamesrvAddr(names);
        consumer.setAutoCommit(false);
        consumer.start();
        Collection<MessageQueue> queues = consumer.fetchMessageQueues(topic);
        consumer.assign(queues);
        for (MessageQueue queue : queues) consumer.seekToBegin(queue);
        int read = 0;
        while (read < count) {
            for (MessageExt message : consumer.poll(1000)) {
                String key = message.getKeys();
                byte[] keys = key == null || key.isEmpty() ? null : key.getBytes("UTF-8");
                System.out.println("message " + text(keys) + " " + text(message.getBody()));
                System.out.println("properties " + new TreeMap<>(message.getProperties()));
                read++;
            }
        }
    }

    static void expire(String names, String broker) throws Exception {
        DefaultMQAdminExt tool = new DefaultMQAdminExt();
        tool.setNamesrvAddr(names);
        tool.start();
        System.out.println("expired " + tool.deleteExpiredCommitLogByAddr(broker));
    }

    static void user(String names, String broker, String admin, String secret, String user, String password) throws Exception {
        DefaultMQAdminExt tool = new DefaultMQAdminExt(new AclClientRPCHook(new SessionCredentials(admin, secret)));
        tool.setNamesrvAddr(names);
        tool.start();
        tool.createUser(broker, user, password, "Normal");
        System.out.println("created");
    }
}
