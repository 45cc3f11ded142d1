// A table of steps that never grows beyond a limit: when it is full, every other row is dropped.

export class Course {
  /**
   * @param {number} columns
   * @param {number} [room] rows, an even number
   */
  constructor(columns, room = 400) {
    this.columns = columns;
    this.room = room;
    this.values = new Float64Array(columns * room);
    this.length = 0; // rows that are filled
    this.stride = 1; // steps from one row to the next
  }

  /** Whether the step gets a row. @param {number} step from 0 */
  wants(step) {
    return step % this.stride === 0;
  }

  /**
   * The next row to fill.
   * @returns {Float64Array}
   */
  next() {
    if (this.length === this.room) this.thin();
    const start = this.columns * this.length++;
    return this.values.subarray(start, start + this.columns);
  }

  /** Keep the rows 0, 2, 4, ... */
  thin() {
    const { columns, values } = this;
    for (let row = 1; row < this.room / 2; row++) {
      values.copyWithin(row * columns, 2 * row * columns, (2 * row + 1) * columns);
    }
    this.length = this.room / 2;
    this.stride *= 2;
  }

  /** One column, from the first row to the last. @param {number} column */
  column(column) {
    return Float64Array.from({ length: this.length }, (_, row) => this.values[row * this.columns + column]);
  }
}
