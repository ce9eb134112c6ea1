package lakehouse.certify;

import java.io.BufferedWriter;
import java.io.File;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.ChecksumFs;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FsConstants;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/**
 * The file system of this machine, failing where it is told to: for tests and for {@code lakehouse certify}.
 *
 * <p>It stands in for {@code file:} (see {@code core-site.xml} beside it), so that a job and its paths are as always.
 * What fails is said by the lines of the file that the variable {@code LAKEHOUSE_FAILPOINTS} names, five words each:
 *
 * <pre>  operation  moment  hit  action  pattern</pre>
 *
 * operation: create, write, close, rename, delete, list, open; moment: before or after it; hit: which of the matching
 * ones, from 1, and {@code 3+} for the third and all that follow; action: kill, fail, full, denied, delay:MS,
 * torn (of a write: half of the bytes, then kill); pattern: a regular expression found in the path. A rename is matched
 * by where it goes. Every operation that changes something is a line of the file that {@code LAKEHOUSE_TRACE} names.
 *
 * <p>A rename that would replace a commit of Delta's fails, by a hard link: several processes may write one table.
 */
public final class CrashFileSystem extends LocalFileSystem {
  public CrashFileSystem() {
    super(new Raw());
  }

  /** The same for Hadoop's other interface, which Delta and Structured Streaming write their logs by. */
  public static final class Context extends ChecksumFs {
    public Context(URI uri, Configuration conf) throws IOException, URISyntaxException {
      super(new RawContext(conf));
    }
  }

  static final class RawContext extends DelegateToFileSystem {
    RawContext(Configuration conf) throws IOException, URISyntaxException {
      super(FsConstants.LOCAL_FS_URI, new Raw(), conf, FsConstants.LOCAL_FS_URI.getScheme(), false);
    }

    @Override
    public int getUriDefaultPort() {
      return -1;
    }

    @Override
    public boolean isValidName(String src) {
      return true;
    }
  }

  static final class Raw extends RawLocalFileSystem {
    @Override
    protected OutputStream createOutputStreamWithMode(Path path, boolean append, FsPermission permission)
        throws IOException {
      Failpoints.at("create", "before", path);
      OutputStream stream = super.createOutputStreamWithMode(path, append, permission);
      Failpoints.at("create", "after", path);
      return new Stream(stream, path);
    }

    @Override
    protected OutputStream createOutputStream(Path path, boolean append) throws IOException {
      return createOutputStreamWithMode(path, append, null);
    }

    @Override
    public FSDataInputStream open(Path path, int bufferSize) throws IOException {
      Failpoints.at("open", "before", path);
      return super.open(path, bufferSize);
    }

    @Override
    public boolean rename(Path from, Path to) throws IOException {
      Failpoints.at("rename", "before", to);
      boolean done = isCommit(to) ? link(from, to) : super.rename(from, to);
      Failpoints.at("rename", "after", to);
      return done;
    }

    @Override
    public boolean delete(Path path, boolean recursive) throws IOException {
      Failpoints.at("delete", "before", path);
      boolean done = super.delete(path, recursive);
      Failpoints.at("delete", "after", path);
      return done;
    }

    @Override
    public FileStatus[] listStatus(Path path) throws IOException {
      Failpoints.at("list", "before", path);
      return super.listStatus(path);
    }

    private static boolean isCommit(Path path) {
      return path.getName().matches("[0-9]{20}\\.json") && "_delta_log".equals(path.getParent().getName());
    }

    private boolean link(Path from, Path to) throws IOException {
      File source = pathToFile(from);
      try {
        Files.createLink(pathToFile(to).toPath(), source.toPath());
      } catch (java.nio.file.FileAlreadyExistsException taken) {
        throw new FileAlreadyExistsException(to.toString());
      }
      return source.delete();
    }
  }

  static final class Stream extends FilterOutputStream {
    private final Path path;

    Stream(OutputStream stream, Path path) {
      super(stream);
      this.path = path;
    }

    @Override
    public void write(byte[] bytes, int from, int length) throws IOException {
      if (Failpoints.at("write", "before", path)) {
        out.write(bytes, from, length / 2);
        out.flush();
        Failpoints.kill();
      }
      out.write(bytes, from, length);
      Failpoints.at("write", "after", path);
    }

    @Override
    public void close() throws IOException {
      Failpoints.at("close", "before", path);
      super.close();
      Failpoints.at("close", "after", path);
    }
  }

  /** What fails, and the trace. */
  static final class Failpoints {
    private static final List<Failpoint> ALL = read(System.getenv("LAKEHOUSE_FAILPOINTS"));
    private static final String TRACE = System.getenv("LAKEHOUSE_TRACE");
    private static final Pattern CHANGES = Pattern.compile("create|rename|delete");

    private Failpoints() {}

    /** Do what is due at this moment; whether a write is to be torn. */
    static boolean at(String operation, String moment, Path path) throws IOException {
      String place = path.toUri().getPath();
      if (TRACE != null && moment.equals("after") && CHANGES.matcher(operation).matches()) {
        trace(operation + " " + place);
      }
      for (Failpoint one : ALL) {
        if (one.isDue(operation, moment, place) && one.act(place)) {
          return true;
        }
      }
      return false;
    }

    private static synchronized void trace(String line) throws IOException {
      try (BufferedWriter file =
          Files.newBufferedWriter(Paths.get(TRACE), StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
        file.write(line + "\n");
      }
    }

    private static List<Failpoint> read(String file) {
      List<Failpoint> all = new ArrayList<>();
      try {
        for (String line : file == null ? List.<String>of() : Files.readAllLines(Paths.get(file))) {
          all.add(new Failpoint(line.split(" ", 5)));
        }
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
      return all;
    }

    /** End this process and the Python that it works for, as kill -9 does. */
    static void kill() {
      ProcessHandle.current().parent().ifPresent(ProcessHandle::destroyForcibly);
      Runtime.getRuntime().halt(137);
    }
  }

  static final class Failpoint {
    private final String operation;
    private final String moment;
    private final int hit;
    private final boolean andAfter;
    private final String action;
    private final Pattern pattern;
    private final AtomicInteger hits = new AtomicInteger();

    Failpoint(String[] words) {
      operation = words[0];
      moment = words[1];
      andAfter = words[2].endsWith("+");
      hit = Integer.parseInt(words[2].replace("+", ""));
      action = words[3];
      pattern = Pattern.compile(words[4]);
    }

    boolean isDue(String operation, String moment, String path) {
      if (!this.operation.equals(operation) || !this.moment.equals(moment) || !pattern.matcher(path).find()) {
        return false;
      }
      int count = hits.incrementAndGet();
      return count == hit || (andAfter && count > hit);
    }

    boolean act(String path) throws IOException {
      switch (action.split(":")[0]) {
        case "kill":
          Failpoints.kill();
          return false;
        case "torn":
          return true;
        case "full":
          throw new IOException(path + ": No space left on device");
        case "denied":
          throw new java.io.FileNotFoundException(path + " (Permission denied)");
        case "delay":
          try {
            Thread.sleep(Long.parseLong(action.split(":")[1]));
          } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
          }
          return false;
        default:
          throw new IOException(path + ": the failing file system was told to fail here");
      }
    }
  }
}
