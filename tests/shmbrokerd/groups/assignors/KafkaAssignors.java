import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractPartitionAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractStickyAssignor;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * Apache Kafka's own assignors, asked over stdin: a case a line as JSON, the answer a line as JSON.
 *
 * {"assignor": "...", "counts": {topic: partitions}, "members": [{"id", "instance", "topics", "owned": {topic: [partition]}}]}
 *
 * Maps and sets that go in are in ascending order, so that what Kafka does in the order of a hash table is done in that order.
 */
public class KafkaAssignors {
    private static final int GENERATION = 1;

    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonNode question = mapper.readTree(line);
            System.out.println(mapper.writeValueAsString(answer(question)));
        }
    }

    private static Map<String, Map<String, Set<Integer>>> answer(JsonNode question) throws Exception {
        String name = question.get("assignor").asText();
        switch (name) {
            case "client-range":
                return ofClient(new org.apache.kafka.clients.consumer.RangeAssignor(), question);
            case "roundrobin":
                return ofClient(new RoundRobinAssignor(), question);
            case "sticky":
                return ofClient(new Sticky(), question);
            case "cooperative-sticky":
                return ofClient(new CooperativeStickyAssignor(), question);
            case "coordinator-range":
                return ofCoordinator(new RangeAssignor(), question);
            case "uniform":
                return ofCoordinator(new UniformAssignor(), question);
            default:
                throw new IllegalArgumentException(name);
        }
    }

    /** What the sticky assignors share: who is to own what in the end. */
    private static final class Sticky extends AbstractStickyAssignor {
        @Override
        public String name() {
            return "sticky";
        }

        @Override
        protected MemberData memberData(Subscription subscription) {
            return new MemberData(subscription.ownedPartitions(), subscription.generationId());
        }
    }

    private static Map<String, Map<String, Set<Integer>>> ofClient(AbstractPartitionAssignor assignor, JsonNode question) {
        Map<String, Integer> counts = new LinkedHashMap<>();
        question.get("counts").fields().forEachRemaining(each -> counts.put(each.getKey(), each.getValue().asInt()));
        Map<String, Subscription> subscriptions = new LinkedHashMap<>();
        for (JsonNode member : question.get("members")) {
            List<TopicPartition> owned = new ArrayList<>();
            member.get("owned").fields().forEachRemaining(each ->
                each.getValue().forEach(number -> owned.add(new TopicPartition(each.getKey(), number.asInt()))));
            List<String> topics = new ArrayList<>();
            member.get("topics").forEach(topic -> topics.add(topic.asText()));
            Subscription subscription = new Subscription(topics, null, owned, GENERATION, Optional.empty());
            subscription.setGroupInstanceId(instance(member));
            subscriptions.put(member.get("id").asText(), subscription);
        }
        Map<String, Map<String, Set<Integer>>> result = new TreeMap<>();
        assignor.assign(counts, subscriptions).forEach((member, partitions) -> {
            Map<String, Set<Integer>> mine = new TreeMap<>();
            partitions.forEach(each -> mine.computeIfAbsent(each.topic(), __ -> new TreeSet<>()).add(each.partition()));
            result.put(member, mine);
        });
        return result;
    }

    private static Map<String, Map<String, Set<Integer>>> ofCoordinator(
        ConsumerGroupPartitionAssignor assignor, JsonNode question
    ) throws Exception {
        Map<String, Uuid> ids = new HashMap<>();
        Map<Uuid, String> names = new HashMap<>();
        Map<Uuid, Integer> counts = new HashMap<>();
        question.get("counts").fields().forEachRemaining(each -> {
            Uuid id = new Uuid(0L, ids.size() + 1L);  // ascending as the names are, in a hash table too
            ids.put(each.getKey(), id);
            names.put(id, each.getKey());
            counts.put(id, each.getValue().asInt());
        });
        Map<String, MemberSubscriptionAndAssignmentImpl> members = new LinkedHashMap<>();
        Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
        Set<Set<Uuid>> subscriptions = new HashSet<>();
        for (JsonNode member : question.get("members")) {
            Set<Uuid> topics = new LinkedHashSet<>();
            member.get("topics").forEach(topic -> topics.add(ids.get(topic.asText())));
            subscriptions.add(topics);
            Map<Uuid, Set<Integer>> owned = new LinkedHashMap<>();
            member.get("owned").fields().forEachRemaining(each -> each.getValue().forEach(number -> {
                Uuid id = ids.get(each.getKey());
                owned.computeIfAbsent(id, __ -> new TreeSet<>()).add(number.asInt());
                owners.computeIfAbsent(id, __ -> new HashMap<>()).put(number.asInt(), member.get("id").asText());
            }));
            members.put(member.get("id").asText(), new MemberSubscriptionAndAssignmentImpl(
                Optional.empty(), instance(member), topics, new Assignment(owned)));
        }
        SubscriptionType type = subscriptions.size() == 1 ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        Map<String, Map<String, Set<Integer>>> result = new TreeMap<>();
        members.keySet().forEach(member -> result.put(member, new TreeMap<>()));
        assignor.assign(new GroupSpecImpl(members, type, owners), new Describer(counts)).members().forEach((member, given) ->
            given.partitions().forEach((id, numbers) -> {
                if (!numbers.isEmpty())
                    result.get(member).put(names.get(id), new TreeSet<>(numbers));
            }));
        return result;
    }

    private static Optional<String> instance(JsonNode member) {
        return member.get("instance").isNull() ? Optional.empty() : Optional.of(member.get("instance").asText());
    }

    private static final class Describer implements SubscribedTopicDescriber {
        private final Map<Uuid, Integer> counts;

        Describer(Map<Uuid, Integer> counts) {
            this.counts = counts;
        }

        @Override
        public int numPartitions(Uuid topicId) {
            return counts.getOrDefault(topicId, -1);
        }

        @Override
        public Set<String> racksForPartition(Uuid topicId, int partition) {
            return Collections.emptySet();
        }
    }
}
