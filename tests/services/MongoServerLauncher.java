import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryCollection;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * A server that speaks MongoDB's protocol, for tests on machines without one: de.bwaldvogel:mongo-java-server, which
 * keeps everything in memory. It says that it is MongoDB 4.4, the oldest that the driver accepts, and here it is given
 * what it lacks: indexes that are not unique, without which every question reads all there is.
 *
 * Run as `java -cp 'lib/*' MongoServerLauncher.java`; prints its port, and ends with its standard input.
 */
public final class MongoServerLauncher {
  public static void main(String[] arguments) throws Exception {
    MongoBackend backend = new IndexedBackend().version(new Version());
    MongoServer server = new MongoServer(backend);
    System.out.println(server.bind().getPort());
    System.out.flush();
    while (System.in.read() != -1) { }
    Runtime.getRuntime().halt(0);
  }

  private static final class Version implements MongoVersion {
    @Override public List<Integer> getVersionArray() {
      return List.of(4, 4, 0);
    }

    @Override public int getWireVersion() {
      return 9;
    }
  }

  private static final class IndexedBackend extends MemoryBackend {
    @Override public MemoryDatabase openOrCreateDatabase(String name) {
      return new IndexedDatabase(name, getCursorRegistry());
    }
  }

  private static final class IndexedDatabase extends MemoryDatabase {
    IndexedDatabase(String name, CursorRegistry cursors) {
      super(name, cursors);
    }

    @Override protected MemoryCollection openOrCreateCollection(String name, CollectionOptions options) {
      return new IndexedCollection(this, name, options, cursorRegistry);
    }

    @Override protected Index<Integer> openOrCreateSecondaryIndex(
        String collection, String name, List<IndexKey> keys, boolean sparse) {
      IndexedCollection indexed = (IndexedCollection) resolveCollection(collection, false);
      for (IndexKey key : keys) indexed.index(key.getKey());
      return super.openOrCreateSecondaryIndex(collection, name, keys, sparse);
    }
  }

  /** Finds the documents to look at by the indexed field that leaves the fewest. */
  private static final class IndexedCollection extends MemoryCollection {
    private static final Set<Class<?>> INDEXED_TYPES = Set.of(String.class, Instant.class, ObjectId.class);
    private final Map<String, FieldIndex> fields = new HashMap<>();

    IndexedCollection(MongoDatabase database, String name, CollectionOptions options, CursorRegistry cursors) {
      super(database, name, options, cursors);
      fields.put("_id", new FieldIndex());
    }

    /** Keeps the documents by a field too. */
    synchronized void index(String field) {
      if (fields.containsKey(field) || field.equals("tenant")) return;
      FieldIndex index = new FieldIndex();
      streamAllDocumentsWithPosition().forEach(
          (found) -> index.add(found.getDocument().get(field), found.getPosition()));
      fields.put(field, index);
    }

    @Override protected Integer addDocumentInternal(Document document) {
      Integer position = super.addDocumentInternal(document);
      fields.forEach((field, index) -> index.add(document.get(field), position));
      return position;
    }

    @Override protected void removeDocument(Integer position) {
      Document document = getDocument(position);
      fields.forEach((field, index) -> index.remove(document.get(field), position));
      super.removeDocument(position);
    }

    @Override protected void handleUpdate(Integer position, Document before, Document after) {
      fields.forEach((field, index) -> {
        index.remove(before.get(field), position);
        index.add(after.get(field), position);
      });
      super.handleUpdate(position, before, after);
    }

    @Override protected QueryResult queryDocuments(
        Document query, Document orderBy, int skip, int limit, int batchSize, Document fieldSelector) {
      Collection<Integer> page = firstInOrder(query, orderBy, skip + Math.abs(limit));
      if (limit != 0 && page != null) {
        return matchDocuments(query, page, orderBy, skip, limit, batchSize, fieldSelector);
      }
      Collection<Integer> fewest = null;
      for (Map.Entry<String, FieldIndex> field : fields.entrySet()) {
        if (!query.containsKey(field.getKey())) continue;
        Collection<Integer> found = field.getValue().find(query.get(field.getKey()));
        if (found != null && (fewest == null || found.size() < fewest.size())) fewest = found;
      }
      if (fewest == null) return super.queryDocuments(query, orderBy, skip, limit, batchSize, fieldSelector);
      Document rest = query.clone();
      Collection<Integer> positions = withoutLongLists(rest, fewest);
      return matchDocuments(rest, positions, orderBy, skip, limit, batchSize, fieldSelector);
    }

    /**
     * Where the first documents in the order of an indexed field are, with all of equal place; null when there is no such
     * field. A page of many documents is found without looking at the others.
     */
    private Collection<Integer> firstInOrder(Document query, Document orderBy, int wanted) {
      if (orderBy == null || orderBy.isEmpty()) return null;
      String first = orderBy.keySet().iterator().next();
      if (!fields.containsKey(first) || !(query.get(first) instanceof Document condition)) return null;
      NavigableMap<Object, Set<Integer>> values = fields.get(first).between(condition);
      if (values == null) return null;
      boolean ascending = ((Number) orderBy.get(first)).intValue() > 0;
      List<Integer> found = new ArrayList<>();
      for (Set<Integer> equal : (ascending ? values : values.descendingMap()).values()) {
        if (found.size() >= wanted) break;
        for (Integer position : equal) if (documentMatchesQuery(getDocument(position), query)) found.add(position);
      }
      return found;
    }

    /** A list of a thousand values is looked up, not compared one by one. */
    private Collection<Integer> withoutLongLists(Document query, Collection<Integer> positions) {
      Collection<Integer> left = positions;
      for (String field : List.copyOf(query.keySet())) {
        if (!(query.get(field) instanceof Document condition) || !condition.keySet().equals(Set.of("$in"))) continue;
        Collection<?> values = (Collection<?>) condition.get("$in");
        if (!values.stream().allMatch((value) -> value != null && INDEXED_TYPES.contains(value.getClass()))) continue;
        Set<Object> wanted = new HashSet<>(values);
        left = left.stream().filter((position) -> wanted.contains(getDocument(position).get(field)))
            .collect(Collectors.toList());
        query.remove(field);
      }
      return left;
    }

    /** Positions by value, in order. Once there is a value of another type, it knows nothing any more. */
    private static final class FieldIndex {
      private final Map<Class<?>, TreeMap<Object, Set<Integer>>> byType = new HashMap<>();
      private int others;

      void add(Object value, Integer position) {
        if (value == null) return;
        if (!INDEXED_TYPES.contains(value.getClass())) {
          others++;
          return;
        }
        byType.computeIfAbsent(value.getClass(), (type) -> new TreeMap<>())
            .computeIfAbsent(value, (key) -> new LinkedHashSet<>(2)).add(position);
      }

      void remove(Object value, Integer position) {
        if (value != null && !INDEXED_TYPES.contains(value.getClass())) others--;
        TreeMap<Object, Set<Integer>> values = value == null ? null : byType.get(value.getClass());
        Set<Integer> positions = values == null ? null : values.get(value);
        if (positions == null) return;
        positions.remove(position);
        if (positions.isEmpty()) values.remove(value);
      }

      /** All that can meet a condition; null when that is not known. */
      Collection<Integer> find(Object condition) {
        if (condition == null || others > 0) return null;
        if (INDEXED_TYPES.contains(condition.getClass())) return equal(List.of(condition));
        if (!(condition instanceof Document operators)) return null;
        if (operators.get("$in") instanceof Collection<?> values) {
          return values.stream().allMatch((value) -> value != null && INDEXED_TYPES.contains(value.getClass()))
              ? equal(values) : null;
        }
        if (Boolean.TRUE.equals(operators.get("$exists"))) return union(byType.values());
        NavigableMap<Object, Set<Integer>> found = between(operators);
        return found == null ? null : union(List.of(found));
      }

      private Collection<Integer> equal(Collection<?> values) {
        Set<Integer> found = new LinkedHashSet<>();
        for (Object value : values) {
          TreeMap<Object, Set<Integer>> ofType = byType.get(value.getClass());
          if (ofType != null && ofType.containsKey(value)) found.addAll(ofType.get(value));
        }
        return found;
      }

      /** The values within the bounds of a condition, in order; null when it has none, or that is not known. */
      NavigableMap<Object, Set<Integer>> between(Document operators) {
        if (others > 0) return null;
        NavigableMap<Object, Set<Integer>> found = null;
        for (String operator : List.of("$gte", "$gt", "$lt", "$lte")) {
          Object edge = operators.get(operator);
          if (edge == null || !INDEXED_TYPES.contains(edge.getClass())) continue;
          if (found == null) found = byType.getOrDefault(edge.getClass(), new TreeMap<>());
          if (found.isEmpty()) break;
          boolean inclusive = operator.length() == 4;
          if (operator.startsWith("$g")) {
            found = compare(edge, found.lastKey()) > 0 ? new TreeMap<>() : found.tailMap(edge, inclusive);
          } else {
            found = compare(edge, found.firstKey()) < 0 ? new TreeMap<>() : found.headMap(edge, inclusive);
          }
        }
        return found;
      }

      @SuppressWarnings("unchecked")
      private static int compare(Object a, Object b) {
        return ((Comparable<Object>) a).compareTo(b);
      }

      private static Collection<Integer> union(Collection<? extends Map<Object, Set<Integer>>> maps) {
        List<Integer> all = new ArrayList<>();
        for (Map<Object, Set<Integer>> map : maps) map.values().forEach(all::addAll);
        return all;
      }
    }
  }
}
